//! Sends batches of spans by OTLP over gRPC, on a thread of its own, so that no request ever waits for it.
//!
//! At most once: a batch that fails is gone, as with the official module. What does not fit the buffer is
//! refused by `add` and counted by the caller.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use std::thread;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::X509;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_openssl::SslStream;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::ServiceExt;

/// How long a worker that ends waits for its last batches. The official module waits for ever.
pub const EXIT_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection may take. gRPC's own default is 20 s.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Failures kept until the next flush logs them; a collector that is away gives the same one again and again.
const FAILURES_KEPT: usize = 16;

#[derive(Clone, Debug)]
pub struct Settings {
    /// `host:port`.
    pub endpoint: String,
    pub tls: bool,
    /// PEM; the system's own authorities without it.
    pub trusted_certificate: Option<Vec<u8>>,
    pub headers: Vec<(String, String)>,
    pub batch_size: usize,
    /// Batches in a worker's memory: being filled, and being sent.
    pub batch_count: usize,
    pub resource: Resource,
    pub scope: InstrumentationScope,
}

impl Settings {
    fn uri(&self) -> Result<Uri, String> {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.endpoint).parse().map_err(|error| format!("{}: {error}", self.endpoint))
    }
}

pub struct Exporter {
    batch_size: usize,
    batch_count: usize,
    current: Vec<Span>,
    shared: Arc<Shared>,
    /// Taken when the exporter ends, which ends the thread.
    queue: Option<mpsc::UnboundedSender<Vec<Span>>>,
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
    /// Starts the thread, which connects at once. Only to be called in a worker: threads do not survive a fork.
    pub fn start(settings: Settings) -> Result<Self, String> {
        settings.uri()?;
        let shared = Arc::new(Shared::default());
        let (queue, batches) = mpsc::unbounded_channel();
        let (finish, finished) = blocking::channel();
        let (batch_size, batch_count) = (settings.batch_size, settings.batch_count);
        let of_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("otel-exporter".into())
            .spawn(move || {
                if let Err(error) = run(settings, batches, &of_thread) {
                    of_thread.failed(error);
                }
                // The receiver is gone when the worker did not wait that long.
                let _ = finish.send(());
            })
            .map_err(|error| error.to_string())?;
        let current = Vec::with_capacity(batch_size);
        Ok(Exporter { batch_size, batch_count, current, shared, queue: Some(queue), finished })
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
        let batch = std::mem::replace(&mut self.current, Vec::with_capacity(self.batch_size));
        self.shared.sending.fetch_add(1, Ordering::AcqRel);
        if let Some(queue) = &self.queue {
            // The thread takes batches as long as the queue is open.
            let _ = queue.send(batch);
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
        if self.finished.recv_timeout(EXIT_LIMIT).is_err() {
            let batches = self.shared.sending.load(Ordering::Acquire);
            self.shared.failed(format!("gave up {batches} batches after {} s at exit", EXIT_LIMIT.as_secs()));
        }
    }
}

fn run(
    settings: Settings,
    mut batches: mpsc::UnboundedReceiver<Vec<Span>>,
    shared: &Arc<Shared>,
) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let channel = channel(&settings)?;
        let headers = metadata(&settings)?;
        let mut sends = JoinSet::new();
        // Connects before the first batch; a failure shows with that one.
        sends.spawn(connect(channel.clone()));
        loop {
            tokio::select! {
                batch = batches.recv() => match batch {
                    Some(spans) => {
                        let request = with_headers(request(&settings, spans), &headers);
                        let client = TraceServiceClient::new(channel.clone());
                        sends.spawn(send(client, request, Arc::clone(shared)));
                    }
                    None => break,
                },
                Some(_) = sends.join_next() => {}
            }
        }
        while sends.join_next().await.is_some() {}
        Ok(())
    })
}

async fn connect(channel: Channel) {
    let _ = channel.ready_oneshot().await;
}

async fn send(
    mut client: TraceServiceClient<Channel>,
    request: tonic::Request<ExportTraceServiceRequest>,
    shared: Arc<Shared>,
) {
    if let Err(status) = client.export(request).await {
        shared.failed(status.message().to_owned());
    }
    shared.sending.fetch_sub(1, Ordering::AcqRel);
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

type Metadata = Vec<(AsciiMetadataKey, AsciiMetadataValue)>;

fn metadata(settings: &Settings) -> Result<Metadata, String> {
    settings
        .headers
        .iter()
        .map(|(name, value)| {
            let key = name.parse().map_err(|_| format!("invalid header name {name}"))?;
            let value = value.parse().map_err(|_| format!("invalid value of header {name}"))?;
            Ok((key, value))
        })
        .collect()
}

fn with_headers(message: ExportTraceServiceRequest, headers: &Metadata) -> tonic::Request<ExportTraceServiceRequest> {
    let mut request = tonic::Request::new(message);
    for (name, value) in headers {
        request.metadata_mut().append(name.clone(), value.clone());
    }
    request
}

/// A channel that connects when it is first used and again whenever the connection is lost, each time with the
/// name resolved anew.
fn channel(settings: &Settings) -> Result<Channel, String> {
    let endpoint = Endpoint::from(settings.uri()?).connect_timeout(CONNECT_LIMIT);
    if !settings.tls {
        return Ok(endpoint.connect_lazy());
    }
    let connector = tls_connector(settings).map_err(|error| error.to_string())?;
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |uri: Uri| connect_tls(connector.clone(), uri))))
}

/// OpenSSL rather than rustls: it takes the X.509 version 1 certificates that the official module takes.
fn tls_connector(settings: &Settings) -> Result<SslConnector, openssl::error::ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_alpn_protos(b"\x02h2")?;
    if let Some(pem) = &settings.trusted_certificate {
        for certificate in X509::stack_from_pem(pem)? {
            builder.cert_store_mut().add_cert(certificate)?;
        }
    }
    Ok(builder.build())
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
