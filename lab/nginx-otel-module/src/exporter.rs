//! Sends batches of spans by OTLP over gRPC, on a thread of its own, so that no request ever waits for it.
//!
//! At most once: a batch that fails is gone, as with the official module. What does not fit the buffer is
//! refused by `add` and counted by the caller.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use std::thread;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_openssl::SslStream;
use tonic::Status;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::{Channel, Endpoint, Uri};

/// How long a worker that ends waits for its last batches. The official module waits for ever.
pub const EXIT_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection may take. Waiting batches try one after another, so that this times the number of
/// batches is what a collector that swallows packets costs at most.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How often a call that met a closing connection is made again; each new connection may close as well.
const UNSENT_RETRIES: usize = 10;

/// Time for a closing connection to be noticed as closed.
const UNSENT_PAUSE: Duration = Duration::from_millis(20);

/// Failures kept until the next flush logs them; a collector that is away gives the same one again and again.
const FAILURES_KEPT: usize = 16;

pub struct Settings {
    pub endpoint: Uri,
    /// Trusted instead of the system's own authorities.
    pub trusted_certificates: Option<Vec<X509>>,
    pub headers: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
    pub batch_size: usize,
    /// Batches in a worker's memory: being filled, and being sent.
    pub batch_count: usize,
    pub resource: Resource,
    pub scope: InstrumentationScope,
}

/// Reads `host:port`, with the scheme that it is used with.
///
/// Without a port, or with one of gRPC's other schemes (`unix:`, `dns:`), every export would fail.
pub fn uri(endpoint: &str, tls: bool) -> Option<Uri> {
    let scheme = if tls { "https" } else { "http" };
    let uri: Uri = format!("{scheme}://{endpoint}").parse().ok()?;
    let complete = uri.host().is_some_and(|host| !host.is_empty()) && uri.port_u16().is_some();
    (complete && uri.path() == "/").then_some(uri)
}

/// The certificates of a PEM file: at least one.
pub fn certificates(pem: &[u8]) -> Option<Vec<X509>> {
    X509::stack_from_pem(pem).ok().filter(|found| !found.is_empty())
}

/// A header of the export request.
pub fn header(name: &str, value: &str) -> Option<(AsciiMetadataKey, AsciiMetadataValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

pub struct Exporter {
    batch_size: usize,
    batch_count: usize,
    current: Vec<Span>,
    shared: Arc<Shared>,
    /// Taken when the exporter ends, which ends the thread.
    queue: Option<mpsc::UnboundedSender<(Vec<Span>, Slot)>>,
    finished: blocking::Receiver<()>,
}

#[derive(Default)]
struct Shared {
    sending: AtomicUsize,
    /// Logged by the worker's own thread: NGINX's log is not made for others.
    failures: Mutex<VecDeque<String>>,
}

impl Shared {
    fn failed(&self, message: String) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() == FAILURES_KEPT {
            failures.pop_front();
        }
        failures.push_back(message);
    }
}

impl Exporter {
    /// Starts the thread. Only to be called in a worker: threads do not survive a fork.
    pub fn start(settings: Settings) -> Result<Self, String> {
        let tls = settings.tls_connector().map_err(|error| error.to_string())?;
        let shared = Arc::new(Shared::default());
        let (queue, batches) = mpsc::unbounded_channel();
        let (finish, finished) = blocking::channel();
        let (batch_size, batch_count) = (settings.batch_size, settings.batch_count);
        let of_thread = Arc::clone(&shared);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let work = move || {
            runtime.block_on(run(settings, tls, batches, &of_thread));
            // The receiver is gone when the worker did not wait that long.
            let _ = finish.send(());
        };
        without_signals(|| thread::Builder::new().name("otel-exporter".into()).spawn(work))
            .map_err(|error| error.to_string())?;
        Ok(Exporter { batch_size, batch_count, current: Vec::new(), shared, queue: Some(queue), finished })
    }

    /// Takes a span, unless the buffer is full: then it is dropped and the answer is false.
    pub fn add(&mut self, span: impl FnOnce() -> Span) -> bool {
        if self.current.is_empty() && self.shared.sending.load(Ordering::Acquire) >= self.batch_count {
            return false;
        }
        self.current.push(span());
        if self.current.len() >= self.batch_size {
            self.flush();
        }
        true
    }

    /// Sends what there is, without waiting.
    pub fn flush(&mut self) {
        if self.current.is_empty() {
            return;
        }
        let room = Vec::with_capacity(self.current.len());
        let batch = std::mem::replace(&mut self.current, room);
        let slot = Slot::take(&self.shared);
        if self.queue.as_ref().is_none_or(|queue| queue.send((batch, slot)).is_err()) {
            self.shared.failed("the exporter's thread has ended".to_owned());
        }
    }

    /// What went wrong since the last call.
    pub fn failures(&self) -> Vec<String> {
        self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// Sends the rest and waits for the answers, `EXIT_LIMIT` at most.
    pub fn finish(&mut self) {
        self.flush();
        self.queue = None;
        if self.finished.recv_timeout(EXIT_LIMIT) == Err(blocking::RecvTimeoutError::Timeout) {
            let batches = self.shared.sending.load(Ordering::Acquire);
            self.shared.failed(format!("gave up {batches} batches after {} s at exit", EXIT_LIMIT.as_secs()));
        }
    }
}

/// One of the `batch_count` places of the buffer, free again when it is dropped, whatever became of its batch.
struct Slot(Arc<Shared>);

impl Slot {
    fn take(shared: &Arc<Shared>) -> Self {
        shared.sending.fetch_add(1, Ordering::AcqRel);
        Slot(Arc::clone(shared))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.sending.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Starts a thread that takes none of NGINX's signals: they are to wake the worker's own.
fn without_signals<Started>(start: impl FnOnce() -> Started) -> Started {
    // SAFETY: plain calls on sets of this function's own.
    unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, &mut before);
        let started = start();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        started
    }
}

async fn run(
    settings: Settings,
    tls: Option<SslConnector>,
    mut batches: mpsc::UnboundedReceiver<(Vec<Span>, Slot)>,
    shared: &Arc<Shared>,
) {
    let channel = channel(&settings, tls);
    let mut sends = JoinSet::new();
    loop {
        tokio::select! {
            batch = batches.recv() => match batch {
                Some((spans, slot)) => {
                    let message = request(&settings, spans);
                    let client = TraceServiceClient::new(channel.clone());
                    sends.spawn(send(client, message, settings.headers.clone(), Arc::clone(shared), slot));
                }
                None => break,
            },
            Some(_) = sends.join_next() => {}
        }
    }
    while sends.join_next().await.is_some() {}
}

async fn send(
    mut client: TraceServiceClient<Channel>,
    message: ExportTraceServiceRequest,
    headers: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
    shared: Arc<Shared>,
    _slot: Slot,
) {
    let mut result = client.export(with_headers(message.clone(), &headers)).await;
    // As gRPC does: the collector closed the connection before it took the call, so this is no second delivery.
    for _ in 0..UNSENT_RETRIES {
        if !result.as_ref().is_err_and(was_never_sent) {
            break;
        }
        tokio::time::sleep(UNSENT_PAUSE).await;
        result = client.export(with_headers(message.clone(), &headers)).await;
    }
    if let Err(status) = result {
        shared.failed(explain(&status));
    }
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(status.source(), |&error| error.source())
}

fn was_never_sent(status: &Status) -> bool {
    causes(status).any(|error| error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled))
}

/// The failure with its causes: `transport error` alone helps nobody.
fn explain(status: &Status) -> String {
    let mut parts = vec![status.message().to_owned()];
    for cause in causes(status).map(ToString::to_string) {
        if !parts.iter().any(|part| part.contains(&cause)) {
            parts.push(cause);
        }
    }
    parts.join(": ")
}

fn request(settings: &Settings, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(settings.resource.clone()),
            scope_spans: vec![ScopeSpans { scope: Some(settings.scope.clone()), spans, schema_url: String::new() }],
            schema_url: String::new(),
        }],
    }
}

fn with_headers(
    message: ExportTraceServiceRequest,
    headers: &[(AsciiMetadataKey, AsciiMetadataValue)],
) -> tonic::Request<ExportTraceServiceRequest> {
    let mut request = tonic::Request::new(message);
    for (name, value) in headers {
        request.metadata_mut().append(name.clone(), value.clone());
    }
    request
}

/// A channel that connects when it is first used and again whenever the connection is lost, each time with the
/// name resolved anew.
fn channel(settings: &Settings, tls: Option<SslConnector>) -> Channel {
    let endpoint = Endpoint::from(settings.endpoint.clone()).connect_timeout(CONNECT_LIMIT);
    match tls {
        None => endpoint.connect_lazy(),
        Some(connector) => {
            endpoint.connect_with_connector_lazy(tower::service_fn(move |uri: Uri| connect_tls(connector.clone(), uri)))
        }
    }
}

impl Settings {
    /// OpenSSL rather than rustls: it takes the X.509 version 1 certificates that the official module takes.
    fn tls_connector(&self) -> Result<Option<SslConnector>, ErrorStack> {
        if self.endpoint.scheme_str() != Some("https") {
            return Ok(None);
        }
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_alpn_protos(b"\x02h2")?;
        if let Some(certificates) = &self.trusted_certificates {
            let mut store = X509StoreBuilder::new()?;
            for certificate in certificates {
                store.add_cert(certificate.clone())?;
            }
            builder.set_cert_store(store.build());
        }
        Ok(Some(builder.build()))
    }
}

type Tls = TokioIo<SslStream<TcpStream>>;

async fn connect_tls(connector: SslConnector, uri: Uri) -> io::Result<Tls> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let tcp = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(443))).await?;
    tcp.set_nodelay(true)?;
    let ssl = connector.configure()?.into_ssl(&host)?;
    let mut stream = SslStream::new(ssl, tcp)?;
    Pin::new(&mut stream).connect().await.map_err(io::Error::other)?;
    Ok(TokioIo::new(stream))
}
