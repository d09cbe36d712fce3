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

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_openssl::SslStream;
use tokio_util::io::InspectReader;
use tonic::Status;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::Uri;
use tonic_prost::ProstCodec;

use crate::connection::{State, keep, ready};
use crate::otlp::{ExportTraceServiceRequest, InstrumentationScope, Resource, ResourceSpans, ScopeSpans, Span};

const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

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
    ///
    /// As with the official module, a full batch goes with the span that comes after it, or at the interval.
    pub fn add(&mut self, span: impl FnOnce() -> Span) -> bool {
        if self.current.len() >= self.batch_size {
            self.flush();
        }
        if self.current.is_empty() && self.shared.sending.load(Ordering::Acquire) >= self.batch_count {
            return false;
        }
        self.current.push(span());
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

    /// Sends the rest and waits for the answers: for ever, as the official module does.
    pub fn finish(&mut self) {
        self.flush();
        self.queue = None;
        // An error means that the thread has ended by a panic: there is no answer to wait for.
        let _ = self.finished.recv();
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

/// Sends requests on one connection.
type Sender = http2::SendRequest<Body>;

async fn run(
    settings: Settings,
    tls: Option<SslConnector>,
    mut batches: mpsc::UnboundedReceiver<(Vec<Span>, Slot)>,
    shared: &Arc<Shared>,
) {
    let state = Arc::new(watch::Sender::new(State::Connecting));
    let endpoint = settings.endpoint.clone();
    let kept = Arc::clone(&state);
    // Ends with the runtime.
    tokio::spawn(async move { keep(&kept, || connect(endpoint.clone(), tls.clone())).await });
    let mut sends = JoinSet::new();
    loop {
        tokio::select! {
            batch = batches.recv() => match batch {
                Some((spans, slot)) => {
                    let export = Export {
                        message: request(&settings, spans),
                        headers: settings.headers.clone(),
                        origin: settings.endpoint.clone(),
                    };
                    sends.spawn(send(Arc::clone(&state), export, Arc::clone(shared), slot));
                }
                None => break,
            },
            Some(_) = sends.join_next() => {}
        }
    }
    while sends.join_next().await.is_some() {}
}

struct Export {
    message: ExportTraceServiceRequest,
    headers: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
    origin: Uri,
}

async fn send(state: Arc<watch::Sender<State<Sender>>>, export: Export, shared: Arc<Shared>, _slot: Slot) {
    let mut result = export.send(&state).await;
    // As gRPC does: the collector closed the connection before it took the call, so this is no second delivery.
    for _ in 0..UNSENT_RETRIES {
        if !result.as_ref().is_err_and(was_never_sent) {
            break;
        }
        tokio::time::sleep(UNSENT_PAUSE).await;
        result = export.send(&state).await;
    }
    if let Err(status) = result {
        shared.failed(explain(&status));
    }
}

impl Export {
    async fn send(&self, state: &watch::Sender<State<Sender>>) -> Result<(), Status> {
        let sender = ready(state).await.map_err(Status::unavailable)?;
        let service = tower::service_fn(move |request| sender.clone().send_request(request));
        let request = with_headers(self.message.clone(), &self.headers);
        // Of the answer only the status counts: what it says of spans that were refused, the official module ignores.
        let codec = ProstCodec::<ExportTraceServiceRequest, ()>::default();
        let mut client = Grpc::with_origin(service, self.origin.clone());
        client.unary(request, PathAndQuery::from_static(METHOD), codec).await.map(|_| ())
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}

fn was_never_sent(status: &Status) -> bool {
    causes(status).any(|error| error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled))
}

/// The failure with its causes: `transport error` alone helps nobody.
fn explain(status: &Status) -> String {
    with_causes(status.message().to_owned(), status)
}

fn with_causes(message: String, error: &(dyn Error + 'static)) -> String {
    let mut parts = vec![message];
    for cause in causes(error).map(ToString::to_string) {
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
            scope_spans: vec![ScopeSpans { scope: Some(settings.scope.clone()), spans }],
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

/// Connects, with the name resolved anew. As in gRPC, there is a connection once the receiver's settings have come:
/// what accepts connections and closes them, as a balancer without a receiver does, counts as a failure.
async fn connect(endpoint: Uri, tls: Option<SslConnector>) -> Result<(Sender, Lost), String> {
    let (settled, settings) = oneshot::channel();
    let stream = stream(&endpoint, tls).await.map_err(|error| error.to_string())?;
    let stream = InspectReader::new(stream, first_frame_is_settings(settled));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| with_causes(error.to_string(), &error))?;
    let mut connection: Lost = Box::pin(async move {
        let _ = connection.await;
    });
    tokio::select! {
        Ok(()) = settings => Ok((sender, connection)),
        () = &mut connection => Err("connection closed before the HTTP/2 settings".to_owned()),
    }
}

/// Ends with the connection that it drives.
type Lost = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells when the first frame has come and is one of settings, from what is read of the connection.
fn first_frame_is_settings(settled: oneshot::Sender<()>) -> impl FnMut(&[u8]) {
    // A frame is its length in three bytes, then its type: RFC 9113, 4.1 and 6.5.
    const TYPE: usize = 3;
    const SETTINGS: u8 = 4;
    let (mut settled, mut start) = (Some(settled), Vec::with_capacity(TYPE + 1));
    move |read| {
        start.extend(read.iter().take(TYPE + 1 - start.len()));
        if start.get(TYPE) == Some(&SETTINGS) {
            // Nobody waits any more where the attempt took too long.
            let _ = settled.take().map(|settled| settled.send(()));
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

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<Any: AsyncRead + AsyncWrite + Send + Unpin> Stream for Any {}

async fn stream(endpoint: &Uri, tls: Option<SslConnector>) -> io::Result<Box<dyn Stream>> {
    let host = endpoint.host().unwrap_or_default().trim_matches(['[', ']']);
    let tcp = TcpStream::connect((host, endpoint.port_u16().unwrap_or_default())).await?;
    tcp.set_nodelay(true)?;
    let Some(connector) = tls else { return Ok(Box::new(tcp)) };
    let ssl = connector.configure()?.into_ssl(host)?;
    let mut stream = SslStream::new(ssl, tcp)?;
    Pin::new(&mut stream).connect().await.map_err(io::Error::other)?;
    Ok(Box::new(stream))
}
