//! The directives: their contexts, arguments, defaults and merge rules, as the official module documents them.

use std::ffi::{c_char, c_void};
use std::mem::offset_of;
use std::ptr;

use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ffi::{
    NGX_CONF_BLOCK, NGX_CONF_NOARGS, NGX_CONF_TAKE1, NGX_CONF_TAKE2, NGX_HTTP_LOC_CONF, NGX_HTTP_LOC_CONF_OFFSET,
    NGX_HTTP_MAIN_CONF, NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_SRV_CONF, NGX_LOG_EMERG, ngx_command_t, ngx_conf_enum_t,
    ngx_conf_parse, ngx_conf_set_enum_slot, ngx_conf_set_msec_slot, ngx_conf_set_size_slot, ngx_conf_set_str_slot,
    ngx_conf_t, ngx_get_full_name, ngx_http_compile_complex_value, ngx_http_compile_complex_value_t,
    ngx_http_complex_value_t, ngx_http_set_complex_value_slot, ngx_int_t, ngx_msec_t, ngx_str_t, ngx_uint_t,
};
use ngx::http::{HttpModuleMainConf, Merge, MergeConfigError};
use ngx::{ngx_conf_log_error, ngx_string};
use openssl::x509::X509;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::Uri;

use crate::Module;
use crate::exporter::{certificates, header, uri};

/// NGINX's mark for a value that no directive has set.
const UNSET: usize = usize::MAX;

pub const EXTRACT: ngx_uint_t = 1;
pub const INJECT: ngx_uint_t = 2;

#[repr(C)]
#[derive(Debug)]
pub struct MainConf {
    endpoint: ngx_str_t,
    pub interval: ngx_msec_t,
    pub batch_size: usize,
    pub batch_count: usize,
    service_name: ngx_str_t,
    pub tls: bool,
    pub trusted_certificates: Option<Vec<X509>>,
    pub headers: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
    resource_attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Default for MainConf {
    fn default() -> Self {
        MainConf {
            endpoint: ngx_str_t::empty(),
            interval: UNSET,
            batch_size: UNSET,
            batch_count: UNSET,
            service_name: ngx_str_t::empty(),
            tls: false,
            trusted_certificates: None,
            headers: Vec::new(),
            resource_attributes: Vec::new(),
        }
    }
}

impl MainConf {
    /// Whether there is an `otel_exporter` block.
    pub fn exports(&self) -> bool {
        !self.endpoint.is_empty()
    }

    pub fn endpoint(&self) -> Option<Uri> {
        uri(&text(self.endpoint), self.tls)
    }

    /// Fills what no directive has set.
    pub fn set_defaults(&mut self) {
        let or = |value: usize, default: usize| if value == UNSET { default } else { value };
        self.interval = or(self.interval, 5000);
        self.batch_size = or(self.batch_size, 512);
        self.batch_count = or(self.batch_count, 4);
    }

    /// Resource attributes by name: of two with one name the last counts, and `otel_service_name` beats both.
    pub fn resource(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut attributes: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut set = |name: &[u8], value: &[u8]| {
            attributes.retain(|(known, _)| known != name);
            attributes.push((name.to_vec(), value.to_vec()));
        };
        set(b"service.name", b"unknown_service:nginx");
        for (name, value) in &self.resource_attributes {
            set(name, value);
        }
        if !self.service_name.data.is_null() {
            set(b"service.name", self.service_name.as_bytes());
        }
        attributes
    }
}

pub struct SpanAttribute {
    pub name: Vec<u8>,
    pub value: ngx_http_complex_value_t,
}

#[repr(C)]
pub struct LocationConf {
    pub trace: *mut ngx_http_complex_value_t,
    pub trace_context: ngx_uint_t,
    pub span_name: *mut ngx_http_complex_value_t,
    pub span_attributes: Vec<SpanAttribute>,
    /// Where the attributes are: here, or in the nearest level above that has any.
    inherited: *const Vec<SpanAttribute>,
}

impl Default for LocationConf {
    fn default() -> Self {
        LocationConf {
            // What NGINX's setter takes for unset, besides NULL.
            trace: UNSET as *mut _,
            trace_context: UNSET,
            span_name: UNSET as *mut _,
            span_attributes: Vec::new(),
            inherited: ptr::null(),
        }
    }
}

impl LocationConf {
    /// The span attributes of this level; any at a level replaces all of the level above.
    pub fn attributes(&self) -> &[SpanAttribute] {
        // SAFETY: points into the configuration of the level above, which lives in the same pool.
        match unsafe { self.inherited.as_ref() } {
            Some(above) if self.span_attributes.is_empty() => above,
            _ => &self.span_attributes,
        }
    }
}

impl Merge for LocationConf {
    fn merge(&mut self, above: &Self) -> Result<(), MergeConfigError> {
        let pointer = |own: *mut ngx_http_complex_value_t, above: *mut ngx_http_complex_value_t| match own as usize {
            UNSET if above as usize == UNSET => ptr::null_mut(),
            UNSET => above,
            _ => own,
        };
        self.trace = pointer(self.trace, above.trace);
        self.span_name = pointer(self.span_name, above.span_name);
        if self.trace_context == UNSET {
            self.trace_context = if above.trace_context == UNSET { 0 } else { above.trace_context };
        }
        self.inherited =
            if above.span_attributes.is_empty() { above.inherited } else { ptr::from_ref(&above.span_attributes) };
        Ok(())
    }
}

/// Text of the configuration that has to be UTF-8 and is refused where it is not: endpoints, headers, files.
fn text(string: ngx_str_t) -> String {
    String::from_utf8_lossy(string.as_bytes()).into_owned()
}

const ANYWHERE: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

struct Enumeration([ngx_conf_enum_t; 5]);
// SAFETY: never written; NGINX reads it while it reads the configuration, on one thread.
unsafe impl Sync for Enumeration {}

static TRACE_CONTEXTS: Enumeration = Enumeration([
    ngx_conf_enum_t { name: ngx_string!("ignore"), value: 0 },
    ngx_conf_enum_t { name: ngx_string!("extract"), value: EXTRACT },
    ngx_conf_enum_t { name: ngx_string!("inject"), value: INJECT },
    ngx_conf_enum_t { name: ngx_string!("propagate"), value: EXTRACT | INJECT },
    ngx_conf_enum_t { name: ngx_str_t::empty(), value: 0 },
]);

type Setter = unsafe extern "C" fn(*mut ngx_conf_t, *mut ngx_command_t, *mut c_void) -> *mut c_char;

const fn command(name: ngx_str_t, kind: u32, set: Setter, conf: usize, offset: usize) -> ngx_command_t {
    ngx_command_t { name, type_: kind as ngx_uint_t, set: Some(set), conf, offset, post: ptr::null_mut() }
}

pub static mut COMMANDS: [ngx_command_t; 8] = [
    command(
        ngx_string!("otel_exporter"),
        NGX_HTTP_MAIN_CONF | NGX_CONF_BLOCK | NGX_CONF_NOARGS,
        exporter_block,
        NGX_HTTP_MAIN_CONF_OFFSET,
        0,
    ),
    command(
        ngx_string!("otel_resource_attr"),
        NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE2,
        resource_attribute,
        NGX_HTTP_MAIN_CONF_OFFSET,
        0,
    ),
    command(
        ngx_string!("otel_service_name"),
        NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
        ngx_conf_set_str_slot,
        NGX_HTTP_MAIN_CONF_OFFSET,
        offset_of!(MainConf, service_name),
    ),
    command(
        ngx_string!("otel_trace"),
        ANYWHERE | NGX_CONF_TAKE1,
        ngx_http_set_complex_value_slot,
        NGX_HTTP_LOC_CONF_OFFSET,
        offset_of!(LocationConf, trace),
    ),
    ngx_command_t {
        post: ptr::from_ref(&TRACE_CONTEXTS.0) as *mut c_void,
        ..command(
            ngx_string!("otel_trace_context"),
            ANYWHERE | NGX_CONF_TAKE1,
            ngx_conf_set_enum_slot,
            NGX_HTTP_LOC_CONF_OFFSET,
            offset_of!(LocationConf, trace_context),
        )
    },
    command(
        ngx_string!("otel_span_name"),
        ANYWHERE | NGX_CONF_TAKE1,
        ngx_http_set_complex_value_slot,
        NGX_HTTP_LOC_CONF_OFFSET,
        offset_of!(LocationConf, span_name),
    ),
    command(ngx_string!("otel_span_attr"), ANYWHERE | NGX_CONF_TAKE2, span_attribute, NGX_HTTP_LOC_CONF_OFFSET, 0),
    ngx_command_t::empty(),
];

static mut EXPORTER_COMMANDS: [ngx_command_t; 6] = [
    command(ngx_string!("endpoint"), NGX_CONF_TAKE1, ngx_conf_set_str_slot, 0, offset_of!(MainConf, endpoint)),
    command(ngx_string!("interval"), NGX_CONF_TAKE1, ngx_conf_set_msec_slot, 0, offset_of!(MainConf, interval)),
    command(ngx_string!("batch_size"), NGX_CONF_TAKE1, ngx_conf_set_size_slot, 0, offset_of!(MainConf, batch_size)),
    command(ngx_string!("batch_count"), NGX_CONF_TAKE1, ngx_conf_set_size_slot, 0, offset_of!(MainConf, batch_count)),
    command(ngx_string!("header"), NGX_CONF_TAKE2, exporter_header, 0, 0),
    command(ngx_string!("trusted_certificate"), NGX_CONF_TAKE1, trusted_certificate, 0, 0),
];

/// The words of the directive that is being read, its name first.
unsafe fn arguments<'a>(cf: *mut ngx_conf_t) -> &'a mut [ngx_str_t] {
    // SAFETY: NGINX keeps the array for as long as the directive's handler runs.
    unsafe { (*(*cf).args).as_slice_mut() }
}

fn refused(message: &'static std::ffi::CStr) -> *mut c_char {
    message.as_ptr().cast_mut()
}

unsafe extern "C" fn exporter_block(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    // SAFETY: NGINX passes the structure that `create_main_conf` made.
    let main = unsafe { &mut *conf.cast::<MainConf>() };
    if main.exports() {
        return refused(c"is duplicate");
    }
    // SAFETY: a copy of the reader's state with a handler of ours for the directives of the block.
    let parsed = unsafe {
        let mut inner = *cf;
        inner.handler = Some(exporter_directive);
        inner.handler_conf = conf;
        ngx_conf_parse(&mut inner, ptr::null_mut())
    };
    if !parsed.is_null() {
        return parsed;
    }
    if strip_prefix(&mut main.endpoint, "https://") {
        main.tls = true;
    } else {
        strip_prefix(&mut main.endpoint, "http://");
    }
    if !main.exports() {
        ngx_conf_log_error!(NGX_LOG_EMERG, cf, "\"otel_exporter\" requires \"endpoint\"");
        return NGX_CONF_ERROR;
    }
    if main.endpoint().is_none() {
        let endpoint = main.endpoint;
        ngx_conf_log_error!(NGX_LOG_EMERG, cf, "invalid endpoint \"{endpoint}\" in \"otel_exporter\", not host:port");
        return NGX_CONF_ERROR;
    }
    NGX_CONF_OK
}

fn strip_prefix(string: &mut ngx_str_t, prefix: &str) -> bool {
    let found =
        string.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()));
    if found {
        // SAFETY: the string is at least as long as the prefix.
        string.data = unsafe { string.data.add(prefix.len()) };
        string.len -= prefix.len();
    }
    found
}

unsafe extern "C" fn exporter_directive(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    // SAFETY: called by `ngx_conf_parse` with the words of one directive.
    let words = unsafe { arguments(cf) };
    let name = words[0];
    // SAFETY: the table is never written; NGINX reads its configuration on one thread.
    let commands = unsafe { &mut *ptr::addr_of_mut!(EXPORTER_COMMANDS) };
    let Some(command) = commands.iter_mut().find(|command| command.name.as_bytes() == name.as_bytes()) else {
        ngx_conf_log_error!(NGX_LOG_EMERG, cf, "unknown directive \"{name}\" in \"otel_exporter\"");
        return NGX_CONF_ERROR;
    };
    let expected = if command.type_ == NGX_CONF_TAKE2 as ngx_uint_t { 3 } else { 2 };
    if words.len() != expected {
        ngx_conf_log_error!(
            NGX_LOG_EMERG,
            cf,
            "invalid number of arguments in \"{name}\" directive of \"otel_exporter\""
        );
        return NGX_CONF_ERROR;
    }
    let Some(set) = command.set else { return NGX_CONF_ERROR };
    // SAFETY: the slot that the command names lies in `MainConf`, which `conf` is.
    let result = unsafe { set(cf, command, conf) };
    if result == NGX_CONF_OK || result == NGX_CONF_ERROR {
        return result;
    }
    // SAFETY: NGINX's setters answer with C strings.
    let why = unsafe { std::ffi::CStr::from_ptr(result) }.to_string_lossy();
    ngx_conf_log_error!(NGX_LOG_EMERG, cf, "\"{name}\" directive of \"otel_exporter\" {why}");
    NGX_CONF_ERROR
}

unsafe extern "C" fn exporter_header(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    // SAFETY: see `exporter_directive`.
    let (main, words) = unsafe { (&mut *conf.cast::<MainConf>(), arguments(cf)) };
    // gRPC demands lower case; people write headers as they like.
    let name = text(words[1]).to_ascii_lowercase();
    let valid_name = !name.is_empty()
        && !name.starts_with("grpc-")
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte));
    if !valid_name {
        return refused(c"has invalid header name");
    }
    if !words[2].as_bytes().iter().all(|byte| (0x20..=0x7e).contains(byte)) {
        return refused(c"has invalid header value");
    }
    match header(&name, &text(words[2])) {
        Some(pair) => {
            main.headers.push(pair);
            NGX_CONF_OK
        }
        None => refused(c"has invalid header name"),
    }
}

unsafe extern "C" fn trusted_certificate(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    // SAFETY: see `exporter_directive`.
    let (main, words) = unsafe { (&mut *conf.cast::<MainConf>(), arguments(cf)) };
    let mut path = words[1];
    // SAFETY: the pool and the prefix live as long as the configuration.
    if unsafe { ngx_get_full_name((*cf).pool, &mut (*(*cf).cycle).conf_prefix, &mut path) } != 0 {
        return NGX_CONF_ERROR;
    }
    match std::fs::read(text(path)) {
        Ok(pem) => {
            main.trusted_certificates = certificates(&pem);
            if main.trusted_certificates.is_some() {
                return NGX_CONF_OK;
            }
            ngx_conf_log_error!(NGX_LOG_EMERG, cf, "failed to read \"{path}\": no certificate in it");
            NGX_CONF_ERROR
        }
        Err(error) => {
            ngx_conf_log_error!(NGX_LOG_EMERG, cf, "failed to open \"{path}\": {error}");
            NGX_CONF_ERROR
        }
    }
}

unsafe extern "C" fn resource_attribute(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    // SAFETY: NGINX passes the structure that `create_main_conf` made, and two arguments.
    let (main, words) = unsafe { (&mut *conf.cast::<MainConf>(), arguments(cf)) };
    main.resource_attributes.push((words[1].as_bytes().to_vec(), words[2].as_bytes().to_vec()));
    NGX_CONF_OK
}

unsafe extern "C" fn span_attribute(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    // SAFETY: NGINX passes the structure that `create_loc_conf` made, and two arguments.
    let (location, words) = unsafe { (&mut *conf.cast::<LocationConf>(), arguments(cf)) };
    // SAFETY: all zeros is what `ngx_http_compile_complex_value` expects of both structures.
    let compiled = unsafe {
        let mut value: ngx_http_complex_value_t = std::mem::zeroed();
        let mut compile: ngx_http_compile_complex_value_t = std::mem::zeroed();
        compile.cf = cf;
        compile.value = &mut words[2];
        compile.complex_value = &mut value;
        (ngx_http_compile_complex_value(&mut compile) == 0).then_some(value)
    };
    let Some(value) = compiled else { return NGX_CONF_ERROR };
    location.span_attributes.push(SpanAttribute { name: words[1].as_bytes().to_vec(), value });
    NGX_CONF_OK
}

/// Refuses a location that traces where nothing exports.
pub unsafe fn require_exporter(cf: *mut ngx_conf_t, location: &LocationConf) -> ngx_int_t {
    // SAFETY: called while the configuration is read.
    let main = Module::main_conf(unsafe { &*cf });
    if !location.trace.is_null() && !main.is_some_and(MainConf::exports) {
        ngx_conf_log_error!(NGX_LOG_EMERG, cf, "\"otel_exporter\" block is missing");
        return -1;
    }
    0
}
