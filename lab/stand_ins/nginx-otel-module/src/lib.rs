//! Stand-in for ngx_otel_module in the nginx-tracing lab: the same directives, variables and spans, on F5's `ngx`
//! crate and the `opentelemetry` crates. See README.md for what it is and is not.

// NGINX's interface is C: tables are mutable statics, and every hook is unsafe by its signature.
#![allow(static_mut_refs)]

mod backoff;
mod config;
mod connection;
mod context;
mod exporter;
mod otlp;
mod request;
mod variables;

use std::ffi::{c_char, c_void};
use std::ptr;

use ngx::core::NGX_CONF_ERROR;
use ngx::ffi::{
    NGINX_VERSION, NGX_ERROR, NGX_HTTP_MODULE, NGX_LOG_CRIT, NGX_LOG_ERR, NGX_OK, NGX_PROCESS_SINGLE,
    NGX_PROCESS_WORKER, ngx_add_timer, ngx_array_push, ngx_conf_t, ngx_connection_t, ngx_cycle_t, ngx_event_t,
    ngx_http_core_main_conf_t, ngx_http_core_module, ngx_http_handler_pt, ngx_http_module_t,
    ngx_http_phases_NGX_HTTP_LOG_PHASE, ngx_http_phases_NGX_HTTP_REWRITE_PHASE, ngx_int_t, ngx_module_t, ngx_process,
    ngx_uint_t,
};
use ngx::http::{HttpModule, HttpModuleLocationConf, HttpModuleMainConf, Merge};
use ngx::ngx_log_error;

use config::{COMMANDS, LocationConf, MainConf};
use exporter::{Exporter, Settings};
use otlp::{InstrumentationScope, KeyValue, Resource, Value};

struct Module;

impl HttpModule for Module {
    fn module() -> &'static ngx_module_t {
        module()
    }

    unsafe extern "C" fn preconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
        // SAFETY: called by NGINX while the configuration is read.
        unsafe { variables::add(cf) }.map_or(NGX_ERROR as ngx_int_t, |()| NGX_OK as ngx_int_t)
    }

    unsafe extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
        // SAFETY: the core module's configuration exists before other modules' hooks are called.
        unsafe {
            let contexts = (*cf).ctx.cast::<ngx::ffi::ngx_http_conf_ctx_t>();
            let core = *(*contexts).main_conf.add(ngx_http_core_module.ctx_index);
            let core = &mut *core.cast::<ngx_http_core_main_conf_t>();
            let handlers: [(u32, ngx_http_handler_pt); 2] = [
                (ngx_http_phases_NGX_HTTP_REWRITE_PHASE, Some(request::at_start)),
                (ngx_http_phases_NGX_HTTP_LOG_PHASE, Some(request::at_end)),
            ];
            for (phase, handler) in handlers {
                let slot = ngx_array_push(&mut core.phases[phase as usize].handlers).cast::<ngx_http_handler_pt>();
                if slot.is_null() {
                    return NGX_ERROR as ngx_int_t;
                }
                *slot = handler;
            }
        }
        NGX_OK as ngx_int_t
    }

    unsafe extern "C" fn init_main_conf(_: *mut ngx_conf_t, conf: *mut c_void) -> *mut c_char {
        // SAFETY: made by `create_main_conf`.
        unsafe { &mut *conf.cast::<MainConf>() }.set_defaults();
        ptr::null_mut()
    }

    unsafe extern "C" fn merge_loc_conf(cf: *mut ngx_conf_t, above: *mut c_void, conf: *mut c_void) -> *mut c_char {
        // SAFETY: both made by `create_loc_conf`.
        let (above, conf) = unsafe { (&*above.cast::<LocationConf>(), &mut *conf.cast::<LocationConf>()) };
        // SAFETY: called while the configuration is read.
        if conf.merge(above).is_err() || unsafe { config::require_exporter(cf, conf) } != 0 {
            return NGX_CONF_ERROR;
        }
        ptr::null_mut()
    }
}

// SAFETY: the types are those that the module's create functions make.
unsafe impl HttpModuleMainConf for Module {
    type MainConf = MainConf;
}

// SAFETY: see above.
unsafe impl HttpModuleLocationConf for Module {
    type LocationConf = LocationConf;
}

static MODULE_CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(Module::preconfiguration),
    postconfiguration: Some(Module::postconfiguration),
    create_main_conf: Some(Module::create_main_conf),
    init_main_conf: Some(Module::init_main_conf),
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: Some(Module::create_loc_conf),
    merge_loc_conf: Some(Module::merge_loc_conf),
};

ngx::ngx_modules!(ngx_otel_module);

#[allow(non_upper_case_globals)]
pub static mut ngx_otel_module: ngx_module_t = ngx_module_t {
    ctx: ptr::addr_of!(MODULE_CONTEXT) as *mut _,
    commands: unsafe { &COMMANDS[0] as *const _ as *mut _ },
    type_: NGX_HTTP_MODULE as ngx_uint_t,
    init_process: Some(init_process),
    exit_process: Some(exit_process),
    ..ngx_module_t::default()
};

/// NGINX writes the module's indexes when it loads it, and never again.
fn module() -> &'static ngx_module_t {
    // SAFETY: see above.
    unsafe { &*ptr::addr_of!(ngx_otel_module) }
}

/// The worker's own; made in `init_process`, after the fork.
static mut EXPORTER: Option<Exporter> = None;

fn exporter() -> Option<&'static mut Exporter> {
    // SAFETY: only used on the worker's one thread of requests and events.
    unsafe { (*ptr::addr_of_mut!(EXPORTER)).as_mut() }
}

/// Sends what has gathered every interval, and logs what failed since.
static mut FLUSH: Option<(ngx_event_t, ngx_connection_t)> = None;

unsafe extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: set before any module is called.
    if !matches!(unsafe { ngx_process } as u32, NGX_PROCESS_SINGLE | NGX_PROCESS_WORKER) {
        return NGX_OK as ngx_int_t;
    }
    // SAFETY: NGINX passes the cycle that the worker runs.
    let cycle = unsafe { &mut *cycle };
    let Some(main) = Module::main_conf(&*cycle).filter(|main| main.exports()) else {
        return NGX_OK as ngx_int_t;
    };
    let mut seed = [0; 8];
    let started = openssl::rand::rand_bytes(&mut seed)
        .map_err(|error| error.to_string())
        // Workers are forks of one process: each needs a seed of its own.
        .map(|()| fastrand::seed(u64::from_ne_bytes(seed)))
        .and_then(|()| Exporter::start(settings(main)?));
    match started {
        // SAFETY: the worker has one thread yet that knows of these.
        Ok(exporter) => unsafe {
            EXPORTER = Some(exporter);
            FLUSH = Some((std::mem::zeroed(), std::mem::zeroed()));
            if let Some((event, connection)) = (*ptr::addr_of_mut!(FLUSH)).as_mut() {
                event.data = ptr::from_mut(connection).cast();
                event.log = cycle.log;
                event.handler = Some(flush);
                // A worker that is told to finish does not wait for this timer.
                event.set_cancelable(1);
                ngx_add_timer(event, main.interval);
            }
            NGX_OK as ngx_int_t
        },
        Err(error) => {
            ngx_log_error!(NGX_LOG_CRIT, cycle.log, "OTel worker init error: {error}");
            NGX_ERROR as ngx_int_t
        }
    }
}

fn settings(main: &MainConf) -> Result<Settings, String> {
    let attributes = main.resource().into_iter().map(|(key, value)| KeyValue::new(&key, Value::String(value)));
    Ok(Settings {
        endpoint: main.endpoint().ok_or("invalid endpoint")?,
        trusted_certificates: main.trusted_certificates.clone(),
        headers: main.headers.clone(),
        batch_size: main.batch_size,
        batch_count: main.batch_count,
        resource: Resource { attributes: attributes.collect() },
        scope: InstrumentationScope { name: b"nginx".to_vec(), version: NGINX_VERSION.to_bytes().to_vec() },
    })
}

unsafe extern "C" fn flush(event: *mut ngx_event_t) {
    let Some(exporter) = exporter() else { return };
    exporter.flush();
    // SAFETY: NGINX calls an event's handler with the event, and its cycle is the one that runs.
    unsafe {
        log_failures(exporter, (*event).log);
        let main = Module::main_conf(&*(ngx::ffi::ngx_cycle as *const ngx_cycle_t));
        ngx_add_timer(event, main.map_or(5000, |main| main.interval));
    }
}

unsafe fn log_failures(exporter: &Exporter, log: *mut ngx::ffi::ngx_log_t) {
    for failure in exporter.failures() {
        ngx_log_error!(NGX_LOG_ERR, log, "OTel export failure: {failure}");
    }
}

unsafe extern "C" fn exit_process(cycle: *mut ngx_cycle_t) {
    // SAFETY: the worker's last act: nothing uses the exporter after it.
    unsafe {
        if let Some(mut exporter) = (*ptr::addr_of_mut!(EXPORTER)).take() {
            exporter.finish();
            log_failures(&exporter, (*cycle).log);
        }
    }
}
