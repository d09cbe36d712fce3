//! `$otel_trace_id`, `$otel_span_id`, `$otel_parent_id` and `$otel_parent_sampled`. They work with tracing off.

use ngx::ffi::{
    NGX_ERROR, NGX_OK, ngx_conf_t, ngx_http_add_variable, ngx_http_request_t, ngx_http_variable_value_t, ngx_int_t,
    ngx_str_t, ngx_uint_t,
};
use ngx::ngx_string;

use crate::context::{is_valid, to_hex};
use crate::request::{RequestContext, context};

type Read = fn(&RequestContext) -> Option<String>;

const VARIABLES: [(ngx_str_t, Read); 4] = [
    (ngx_string!("otel_trace_id"), |context| identifier(&context.current.trace_id)),
    (ngx_string!("otel_span_id"), |context| identifier(&context.current.span_id)),
    (ngx_string!("otel_parent_id"), |context| identifier(&context.parent.span_id)),
    (ngx_string!("otel_parent_sampled"), |context| Some(u8::from(context.parent.sampled).to_string())),
];

fn identifier(bytes: &[u8]) -> Option<String> {
    is_valid(bytes).then(|| to_hex(bytes))
}

/// Registers the variables.
///
/// # Safety
/// Called while the configuration is read.
pub unsafe fn add(cf: *mut ngx_conf_t) -> Option<()> {
    for (index, (name, _)) in VARIABLES.into_iter().enumerate() {
        let mut name = name;
        // SAFETY: NGINX copies the name; the variable lives as long as the configuration.
        let variable = unsafe { ngx_http_add_variable(cf, &mut name, 0).as_mut()? };
        variable.get_handler = Some(get);
        variable.data = index;
    }
    Some(())
}

unsafe extern "C" fn get(
    request: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    index: ngx_uint_t,
) -> ngx_int_t {
    // SAFETY: NGINX asks with the request that it works on and a value of its own.
    let (request, value) = unsafe { (&mut *request, &mut *value) };
    let pool = request.pool;
    let Some(context) = context(request) else { return NGX_ERROR as ngx_int_t };
    let Some(text) = VARIABLES[index].1(context) else {
        value.set_not_found(1);
        return NGX_OK as ngx_int_t;
    };
    // SAFETY: copies into the request's pool.
    let Some(copy) = (unsafe { ngx_str_t::from_bytes(pool, text.as_bytes()) }) else { return NGX_ERROR as ngx_int_t };
    value.set_len(copy.len as u32);
    value.set_valid(1);
    value.set_no_cacheable(0);
    value.set_not_found(0);
    value.data = copy.data;
    NGX_OK as ngx_int_t
}
