//! What happens to a request: its context, the headers that are sent on, its span.

use std::ffi::c_void;
use std::ptr;

use ngx::ffi::{
    NGX_DECLINED, NGX_ERROR, NGX_LOG_NOTICE, NGX_OK, ngx_connection_local_sockaddr, ngx_http_complex_value,
    ngx_http_complex_value_t, ngx_http_core_loc_conf_t, ngx_http_core_module, ngx_http_core_srv_conf_t,
    ngx_http_request_t, ngx_inet_get_port, ngx_int_t, ngx_list_init, ngx_list_push, ngx_list_t, ngx_pool_cleanup_add,
    ngx_str_t, ngx_table_elt_t, ngx_time, ngx_timeofday,
};
use ngx::http::HttpModuleLocationConf;
use ngx::ngx_log_error;

use crate::config::{EXTRACT, INJECT, LocationConf};
use crate::context::{TraceContext, is_valid};
use crate::otlp::{AnyValue, ArrayValue, ERROR, KeyValue, SERVER, Span, Status, Value};
use crate::{Module, exporter, module};

/// A request's place in its trace. In the request's pool, found by its cleanup handler when an internal redirect
/// has cleared the modules' contexts.
#[derive(Clone, Default)]
pub struct RequestContext {
    pub parent: TraceContext,
    pub current: TraceContext,
    /// `tracestate` as it came, kept in the request's pool.
    state: Vec<u8>,
}

unsafe extern "C" fn drop_context(data: *mut c_void) {
    // SAFETY: `create` put a context there, and the pool calls this once.
    unsafe { ptr::drop_in_place(data.cast::<RequestContext>()) }
}

/// The request's context; made when it is first asked for, since variables are read before the handler runs.
/// None in a subrequest of a request that has none.
pub fn context(request: &mut ngx_http_request_t) -> Option<&mut RequestContext> {
    if let Some(found) = existing(request) {
        // SAFETY: lives in the request's pool.
        return unsafe { found.as_mut() };
    }
    if request.internal() != 0 {
        return None;
    }
    let mut made = RequestContext::default();
    if location(request)?.trace_context & EXTRACT != 0 {
        if let Some(parent) = header(request, "traceparent").and_then(TraceContext::parse) {
            made.parent = parent;
            made.state = header(request, "tracestate").unwrap_or_default().to_vec();
        }
    }
    made.current = TraceContext::child_of(&made.parent);
    create(request, made)
}

fn existing(request: &mut ngx_http_request_t) -> Option<*mut RequestContext> {
    // SAFETY: NGINX gives every module a slot in the request's table of contexts.
    let slot = unsafe { &mut *request.ctx.add(module().ctx_index) };
    if !slot.is_null() {
        return Some(slot.cast());
    }
    if request.internal() == 0 && request.filter_finalize() == 0 {
        return None;
    }
    // SAFETY: the list is the pool's own, and ours is the only entry with this handler.
    unsafe {
        let mut cleanup = (*request.pool).cleanup;
        while let Some(entry) = cleanup.as_ref() {
            if entry.handler.is_some_and(|handler| ptr::fn_addr_eq(handler, drop_context as unsafe extern "C" fn(_))) {
                *slot = entry.data;
                return Some(entry.data.cast());
            }
            cleanup = entry.next;
        }
    }
    None
}

fn create(request: &mut ngx_http_request_t, made: RequestContext) -> Option<&mut RequestContext> {
    // SAFETY: the pool gives room of that size, aligned for any type; it lives as long as the request.
    unsafe {
        let cleanup = ngx_pool_cleanup_add(request.pool, size_of::<RequestContext>()).as_mut()?;
        let data = cleanup.data.cast::<RequestContext>();
        data.write(made);
        cleanup.handler = Some(drop_context);
        *request.ctx.add(module().ctx_index) = data.cast();
        data.as_mut()
    }
}

fn location(request: &ngx_http_request_t) -> Option<&'static LocationConf> {
    Module::location_conf(request)
}

/// Runs in the rewrite phase: decides whether the request is traced, and sends the context on.
pub unsafe extern "C" fn at_start(request: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: NGINX calls phase handlers with the request that it works on.
    let request = unsafe { &mut *request };
    // Not after an internal redirect: the first location's decision stands.
    if request.internal() != 0 {
        return NGX_DECLINED as ngx_int_t;
    }
    let Some(location) = location(request) else { return NGX_DECLINED as ngx_int_t };
    let mut sampled = false;
    if !location.trace.is_null() {
        let Some(value) = evaluate(request, location.trace) else { return NGX_ERROR as ngx_int_t };
        sampled = matches!(value.as_bytes(), b"on" | b"1");
    }
    if location.trace_context == 0 && !sampled {
        return NGX_DECLINED as ngx_int_t;
    }
    let Some(context) = context(request) else { return NGX_ERROR as ngx_int_t };
    context.current.sampled = sampled;
    if location.trace_context & INJECT != 0 {
        let (parent, state) = (context.current.traceparent(), context.state.clone());
        if set_header(request, "traceparent", parent.as_bytes()).is_none()
            || set_header(request, "tracestate", &state).is_none()
        {
            return NGX_ERROR as ngx_int_t;
        }
    }
    NGX_DECLINED as ngx_int_t
}

/// Runs in the log phase: hands the span of a traced request to the exporter.
pub unsafe extern "C" fn at_end(request: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: see `at_start`.
    let request = unsafe { &mut *request };
    let Some(context) = existing(request) else { return NGX_DECLINED as ngx_int_t };
    // A copy, since variables that the span is made of read the original.
    // SAFETY: lives in the request's pool.
    let context = unsafe { (*context).clone() };
    let Some(exporter) = exporter() else { return NGX_DECLINED as ngx_int_t };
    if context.current.sampled && !exporter.add(|| span(request, &context)) {
        dropped(request);
    }
    NGX_DECLINED as ngx_int_t
}

/// Counts a span that the buffer had no room for, and says so once a second.
fn dropped(request: &ngx_http_request_t) {
    static mut COUNT: usize = 0;
    static mut LOGGED: i64 = 0;
    // SAFETY: a worker serves its requests on one thread.
    let count = unsafe {
        COUNT += 1;
        if LOGGED == ngx_time() {
            return;
        }
        LOGGED = ngx_time();
        COUNT
    };
    // SAFETY: a request has a connection until after the log phase.
    let log = unsafe { (*request.connection).log };
    ngx_log_error!(NGX_LOG_NOTICE, log, "OTel dropped records: {count}");
}

fn evaluate(request: &mut ngx_http_request_t, value: *mut ngx_http_complex_value_t) -> Option<ngx_str_t> {
    let mut result = ngx_str_t::empty();
    // SAFETY: compiled when the configuration was read; the result lives in the request's pool.
    (unsafe { ngx_http_complex_value(request, value, &mut result) } == NGX_OK as ngx_int_t).then_some(result)
}

fn headers(list: &ngx_list_t) -> impl Iterator<Item = *mut ngx_table_elt_t> {
    let mut part = ptr::from_ref(&list.part);
    let mut index = 0;
    std::iter::from_fn(move || {
        loop {
            // SAFETY: NGINX's list: parts with `nelts` elements each, the last without a next one.
            unsafe {
                let current = part.as_ref()?;
                if index < current.nelts {
                    index += 1;
                    return Some(current.elts.cast::<ngx_table_elt_t>().add(index - 1));
                }
                part = current.next;
                index = 0;
            }
        }
    })
}

fn find(request: &ngx_http_request_t, name: &str) -> Option<*mut ngx_table_elt_t> {
    // HTTP/0.9 has no headers, and leaves the list as it was allocated.
    if request.headers_in.headers.pool.is_null() {
        return None;
    }
    // SAFETY: elements of the request's own list; those with a hash of 0 are deleted ones.
    headers(&request.headers_in.headers).find(|element| unsafe {
        (**element).hash != 0 && (**element).key.as_bytes().eq_ignore_ascii_case(name.as_bytes())
    })
}

fn header<'a>(request: &'a ngx_http_request_t, name: &str) -> Option<&'a [u8]> {
    // SAFETY: the value lives in the request's pool.
    find(request, name).map(|element| unsafe { (*element).value.as_bytes() })
}

/// Sets a header of the request that an upstream gets: overwrites the first of that name in place, since NGINX
/// keeps pointers to elements of the list.
fn set_header(request: &mut ngx_http_request_t, name: &'static str, value: &[u8]) -> Option<()> {
    // SAFETY: all of it in the request's pool and its own list of headers.
    unsafe {
        let copy = ngx_str_t::from_bytes(request.pool, value)?;
        if let Some(element) = find(request, name) {
            (*element).value = copy;
            return Some(());
        }
        if value.is_empty() {
            return Some(());
        }
        let list = &mut request.headers_in.headers;
        if list.pool.is_null()
            && ngx_list_init(list, request.pool, 2, size_of::<ngx_table_elt_t>()) != NGX_OK as ngx_int_t
        {
            return None;
        }
        let element = ngx_list_push(list).cast::<ngx_table_elt_t>().as_mut()?;
        let key = ngx_str_t::from_bytes(request.pool, name.as_bytes())?;
        *element = std::mem::zeroed();
        element.hash = hash(name);
        element.key = key;
        element.lowcase_key = key.data;
        element.value = copy;
        Some(())
    }
}

/// NGINX's own hash of a header's name, by which `proxy_set_header` finds what it replaces.
fn hash(name: &str) -> usize {
    name.bytes().fold(0, |hash: usize, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)))
}

fn string(name: &str, value: &[u8]) -> KeyValue {
    KeyValue::new(name.as_bytes(), Value::String(value.to_vec()))
}

/// A number as the official module keeps it: in 32 bits, so that a length from 2 GiB up overflows.
fn integer(name: &str, value: i64) -> KeyValue {
    KeyValue::new(name.as_bytes(), Value::Int(i64::from(value as i32)))
}

fn span(request: &mut ngx_http_request_t, context: &RequestContext) -> Span {
    let status = response_status(request);
    let now = ngx_timeofday();
    let nanoseconds = |seconds: i64, milliseconds: usize| (seconds as u64 * 1000 + milliseconds as u64) * 1_000_000;
    let parent = &context.parent.span_id;
    Span {
        trace_id: context.current.trace_id.to_vec(),
        span_id: context.current.span_id.to_vec(),
        parent_span_id: if is_valid(parent) { parent.to_vec() } else { Vec::new() },
        trace_state: context.state.clone(),
        name: span_name(request).as_bytes().to_vec(),
        kind: SERVER,
        start_time_unix_nano: nanoseconds(request.start_sec, request.start_msec),
        end_time_unix_nano: nanoseconds(now.sec, now.msec),
        status: Some(Status { code: if status >= 500 { ERROR } else { 0 } }),
        attributes: attributes(request, status),
    }
}

fn span_name(request: &mut ngx_http_request_t) -> ngx_str_t {
    let configured = location(request).map_or(ptr::null_mut(), |location| location.span_name);
    if !configured.is_null() {
        if let Some(name) = evaluate(request, configured) {
            return name;
        }
    }
    core_location(request).name
}

fn core_location(request: &ngx_http_request_t) -> &'static ngx_http_core_loc_conf_t {
    // SAFETY: every request has a location's configuration of the core module.
    unsafe { &*(*request.loc_conf.add(ngx_http_core_module.ctx_index)).cast() }
}

fn response_status(request: &ngx_http_request_t) -> i64 {
    let status = if request.err_status != 0 { request.err_status } else { request.headers_out.status };
    status as i64
}

/// The attributes of the HTTP semantic conventions 1.16, as the official module sets them, then the configured ones.
fn attributes(request: &mut ngx_http_request_t, status: i64) -> Vec<KeyValue> {
    let mut all = Vec::with_capacity(16);
    // SAFETY: a request has a connection until after the log phase.
    let connection = unsafe { &mut *request.connection };
    let tls = !connection.ssl.is_null();

    all.push(string("http.method", request.method_name.as_bytes()));
    all.push(string("http.target", request.unparsed_uri.as_bytes()));
    let route = core_location(request).name;
    if !route.is_empty() {
        all.push(string("http.route", route.as_bytes()));
    }
    all.push(string("http.scheme", if tls { b"https" } else { b"http" }));
    if let Some(version) = request.http_protocol.as_bytes().strip_prefix(b"HTTP/") {
        all.push(string("http.flavor", version));
    }
    // SAFETY: NGINX points to the header's element in the request's own list.
    if let Some(agent) = unsafe { request.headers_in.user_agent.as_ref() } {
        all.push(string("http.user_agent", agent.value.as_bytes()));
    }
    all.push(integer("http.request_content_length", request.headers_in.content_length_n.max(0)));
    let sent = connection.sent - request.header_size as i64;
    all.push(integer("http.response_content_length", sent.max(0)));
    if status != 0 {
        all.push(integer("http.status_code", status));
    }
    all.push(string("net.host.name", server_name(request).as_bytes()));
    // SAFETY: the addresses belong to the connection.
    unsafe {
        if ngx_connection_local_sockaddr(connection, ptr::null_mut(), 0) == NGX_OK as ngx_int_t {
            let port = ngx_inet_get_port(connection.local_sockaddr);
            if port != if tls { 443 } else { 80 } {
                all.push(integer("net.host.port", i64::from(port)));
            }
        }
        all.push(string("net.sock.peer.addr", connection.addr_text.as_bytes()));
        all.push(integer("net.sock.peer.port", i64::from(ngx_inet_get_port(connection.sockaddr))));
    }
    add_configured(request, &mut all);
    all
}

fn server_name(request: &ngx_http_request_t) -> ngx_str_t {
    // SAFETY: every request has a server's configuration of the core module.
    let server =
        unsafe { &*(*request.srv_conf.add(ngx_http_core_module.ctx_index)).cast::<ngx_http_core_srv_conf_t>() };
    if server.server_name.is_empty() { request.headers_in.server } else { server.server_name }
}

fn add_configured(request: &mut ngx_http_request_t, all: &mut Vec<KeyValue>) {
    let Some(location) = location(request) else { return };
    for configured in location.attributes() {
        let value = ptr::from_ref(&configured.value).cast_mut();
        let Some(value) = evaluate(request, value) else { continue };
        let value = Value::String(value.as_bytes().to_vec());
        // The conventions make headers lists of values.
        let is_header = [&b"http.request.header."[..], b"http.response.header."]
            .iter()
            .any(|prefix| configured.name.starts_with(prefix));
        let value =
            if is_header { Value::Array(ArrayValue { values: vec![AnyValue { value: Some(value) }] }) } else { value };
        all.push(KeyValue::new(&configured.name, value));
    }
}
