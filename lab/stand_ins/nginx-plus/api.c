/* The key-value store of NGINX Plus and the part of its API that changes it. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#define ENTRIES 32
#define LENGTH 64

typedef struct {
    u_char  key[LENGTH];
    u_char  value[LENGTH];
} entry_t;

typedef struct {
    ngx_array_t  zones;   /* ngx_shm_zone_t * */
} main_conf_t;

typedef struct {
    ngx_flag_t  write;
} location_conf_t;

typedef struct {
    ngx_http_complex_value_t  key;
    ngx_shm_zone_t           *zone;
} keyval_t;

extern ngx_module_t  plus_stand_in_api_module;


static void *
create_main_conf(ngx_conf_t *cf)
{
    main_conf_t  *conf = ngx_pcalloc(cf->pool, sizeof(main_conf_t));

    if (conf == NULL || ngx_array_init(&conf->zones, cf->pool, 1, sizeof(ngx_shm_zone_t *)) != NGX_OK) {
        return NULL;
    }
    return conf;
}


static void *
create_location_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(location_conf_t));
}


static ngx_int_t
init_zone(ngx_shm_zone_t *zone, void *old)
{
    ngx_slab_pool_t  *pool = (ngx_slab_pool_t *) zone->shm.addr;

    if (old != NULL) {
        zone->data = old;
        return NGX_OK;
    }
    if (pool->data == NULL) {
        pool->data = ngx_slab_calloc(pool, ENTRIES * sizeof(entry_t));
    }
    zone->data = pool->data;
    return zone->data ? NGX_OK : NGX_ERROR;
}


static entry_t *
find(ngx_shm_zone_t *zone, u_char *key, size_t length)
{
    entry_t     *entries = zone->data;
    ngx_uint_t   i;

    for (i = 0; i < ENTRIES; i++) {
        if (ngx_strlen(entries[i].key) == length && ngx_memcmp(entries[i].key, key, length) == 0) {
            return &entries[i];
        }
    }
    return NULL;
}


static void
lock(ngx_shm_zone_t *zone)
{
    ngx_shmtx_lock(&((ngx_slab_pool_t *) zone->shm.addr)->mutex);
}


static void
unlock(ngx_shm_zone_t *zone)
{
    ngx_shmtx_unlock(&((ngx_slab_pool_t *) zone->shm.addr)->mutex);
}


static char *
keyval_zone(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
    u_char          *colon;
    ssize_t          bytes;
    ngx_str_t        name, size, *words = cf->args->elts;
    main_conf_t     *main_conf = conf;
    ngx_shm_zone_t  *zone, **place;

    if (ngx_strncmp(words[1].data, "zone=", 5) != 0
        || (colon = (u_char *) ngx_strchr(words[1].data, ':')) == NULL)
    {
        return "must have zone=name:size";
    }
    name.data = words[1].data + 5;
    name.len = colon - name.data;
    size.data = colon + 1;
    size.len = words[1].data + words[1].len - size.data;
    bytes = ngx_parse_size(&size);
    if (bytes < (ssize_t) (8 * ngx_pagesize)) {
        return "zone is too small";
    }
    zone = ngx_shared_memory_add(cf, &name, bytes, &plus_stand_in_api_module);
    place = ngx_array_push(&main_conf->zones);
    if (zone == NULL || place == NULL) {
        return NGX_CONF_ERROR;
    }
    zone->init = init_zone;
    *place = zone;
    return NGX_CONF_OK;
}


static ngx_int_t
variable(ngx_http_request_t *request, ngx_http_variable_value_t *value, uintptr_t data)
{
    entry_t    *entry;
    keyval_t   *keyval = (keyval_t *) data;
    ngx_str_t   key;

    if (ngx_http_complex_value(request, &keyval->key, &key) != NGX_OK) {
        return NGX_ERROR;
    }
    ngx_memzero(value, sizeof(ngx_http_variable_value_t));
    value->valid = 1;
    lock(keyval->zone);
    entry = key.len ? find(keyval->zone, key.data, key.len) : NULL;
    if (entry == NULL) {
        value->not_found = 1;
    } else {
        value->len = ngx_strlen(entry->value);
        value->data = ngx_pnalloc(request->pool, value->len);
        if (value->data) {
            ngx_memcpy(value->data, entry->value, value->len);
        }
    }
    unlock(keyval->zone);
    return value->not_found || value->data ? NGX_OK : NGX_ERROR;
}


static char *
keyval(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
    keyval_t                          *made;
    ngx_str_t                          name, *words = cf->args->elts;
    ngx_http_variable_t               *added;
    ngx_http_compile_complex_value_t   compile;

    if (words[2].data[0] != '$' || ngx_strncmp(words[3].data, "zone=", 5) != 0) {
        return "must have a key, a $variable and zone=name";
    }
    made = ngx_pcalloc(cf->pool, sizeof(keyval_t));
    if (made == NULL) {
        return NGX_CONF_ERROR;
    }
    ngx_memzero(&compile, sizeof(compile));
    compile.cf = cf;
    compile.value = &words[1];
    compile.complex_value = &made->key;
    if (ngx_http_compile_complex_value(&compile) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    name.data = words[3].data + 5;
    name.len = words[3].len - 5;
    made->zone = ngx_shared_memory_add(cf, &name, 0, &plus_stand_in_api_module);
    name.data = words[2].data + 1;
    name.len = words[2].len - 1;
    added = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_CHANGEABLE);
    if (made->zone == NULL || added == NULL) {
        return NGX_CONF_ERROR;
    }
    added->get_handler = variable;
    added->data = (uintptr_t) made;
    return NGX_CONF_OK;
}


static ngx_int_t
answer(ngx_http_request_t *request, ngx_uint_t status, u_char *text, size_t length)
{
    ngx_buf_t    *buffer;
    ngx_chain_t   chain;

    request->headers_out.status = status;
    request->headers_out.content_length_n = length;
    ngx_str_set(&request->headers_out.content_type, "application/json");
    request->header_only = length == 0;
    if (ngx_http_send_header(request) != NGX_OK || length == 0) {
        return NGX_OK;
    }
    buffer = ngx_calloc_buf(request->pool);
    if (buffer == NULL) {
        return NGX_ERROR;
    }
    buffer->pos = text;
    buffer->last = text + length;
    buffer->memory = 1;
    buffer->last_buf = 1;
    chain.buf = buffer;
    chain.next = NULL;
    return ngx_http_output_filter(request, &chain);
}


static ngx_int_t
refuse(ngx_http_request_t *request, ngx_uint_t status, const char *code)
{
    u_char  *text = ngx_pnalloc(request->pool, 128), *end;

    if (text == NULL) {
        return NGX_ERROR;
    }
    end = ngx_snprintf(text, 128, "{\"error\":{\"status\":%ui,\"code\":\"%s\"}}", status, code);
    return answer(request, status, text, end - text);
}


/* The zone that the path names: …/<version>/http/keyvals/<zone>. */
static ngx_shm_zone_t *
zone_of(ngx_http_request_t *request)
{
    u_char           *found;
    ngx_uint_t        i;
    main_conf_t      *conf = ngx_http_get_module_main_conf(request, plus_stand_in_api_module);
    ngx_shm_zone_t  **zones = conf->zones.elts;

    for (i = 0; i < conf->zones.nelts; i++) {
        found = request->uri.data + request->uri.len - zones[i]->shm.name.len;
        if (request->uri.len > zones[i]->shm.name.len + sizeof("/http/keyvals/")
            && ngx_memcmp(found, zones[i]->shm.name.data, zones[i]->shm.name.len) == 0
            && ngx_memcmp(found - 14, "/http/keyvals/", 14) == 0)
        {
            return zones[i];
        }
    }
    return NULL;
}


/* The next string of a flat JSON object, from `*at`, without escapes. */
static ngx_int_t
next_string(u_char **at, u_char *end, ngx_str_t *found)
{
    u_char  *from = ngx_strlchr(*at, end, '"');
    u_char  *to = from ? ngx_strlchr(from + 1, end, '"') : NULL;

    if (to == NULL || to - from - 1 >= LENGTH || ngx_strlchr(from, to, '\\')) {
        return NGX_ERROR;
    }
    found->data = from + 1;
    found->len = to - from - 1;
    *at = to + 1;
    return NGX_OK;
}


static void
change(ngx_http_request_t *request)
{
    u_char          *at, *end;
    entry_t         *entry;
    ngx_str_t        key, value;
    ngx_buf_t       *body;
    ngx_int_t        done;
    ngx_shm_zone_t  *zone = zone_of(request);

    if (request->method == NGX_HTTP_DELETE) {
        lock(zone);
        ngx_memzero(zone->data, ENTRIES * sizeof(entry_t));
        unlock(zone);
        ngx_http_finalize_request(request, answer(request, NGX_HTTP_NO_CONTENT, NULL, 0));
        return;
    }
    body = request->request_body->bufs ? request->request_body->bufs->buf : NULL;
    at = body ? body->pos : NULL;
    end = body ? body->last : NULL;
    if (body == NULL || next_string(&at, end, &key) != NGX_OK || next_string(&at, end, &value) != NGX_OK
        || key.len == 0)
    {
        ngx_http_finalize_request(request, refuse(request, NGX_HTTP_BAD_REQUEST, "BodyParseError"));
        return;
    }
    lock(zone);
    entry = find(zone, key.data, key.len);
    if (request->method == NGX_HTTP_POST && entry != NULL) {
        done = NGX_HTTP_CONFLICT;
    } else if (request->method == NGX_HTTP_PATCH && entry == NULL) {
        done = NGX_HTTP_NOT_FOUND;
    } else {
        entry = entry ? entry : find(zone, (u_char *) "", 0);
        done = request->method == NGX_HTTP_POST ? NGX_HTTP_CREATED : NGX_HTTP_NO_CONTENT;
        ngx_memzero(entry, sizeof(entry_t));
        ngx_memcpy(entry->key, key.data, key.len);
        ngx_memcpy(entry->value, value.data, value.len);
    }
    unlock(zone);
    if (done == NGX_HTTP_CONFLICT || done == NGX_HTTP_NOT_FOUND) {
        done = refuse(request, done, done == NGX_HTTP_CONFLICT ? "KeyvalKeyExists" : "KeyvalKeyNotFound");
    } else {
        done = answer(request, done, NULL, 0);
    }
    ngx_http_finalize_request(request, done);
}


static ngx_int_t
show(ngx_http_request_t *request, ngx_shm_zone_t *zone)
{
    size_t       size = ENTRIES * (2 * LENGTH + 8);
    u_char      *text = ngx_pnalloc(request->pool, size), *at = text;
    entry_t     *entries = zone->data;
    ngx_uint_t   i;

    if (text == NULL) {
        return NGX_ERROR;
    }
    *at++ = '{';
    lock(zone);
    for (i = 0; i < ENTRIES; i++) {
        if (entries[i].key[0]) {
            at = ngx_snprintf(at, text + size - at, "%s\"%s\":\"%s\"", at == text + 1 ? "" : ",",
                              entries[i].key, entries[i].value);
        }
    }
    unlock(zone);
    *at++ = '}';
    return answer(request, NGX_HTTP_OK, text, at - text);
}


static ngx_int_t
handler(ngx_http_request_t *request)
{
    ngx_int_t         done;
    ngx_shm_zone_t   *zone = zone_of(request);
    location_conf_t  *conf = ngx_http_get_module_loc_conf(request, plus_stand_in_api_module);

    if (zone == NULL) {
        return refuse(request, NGX_HTTP_NOT_FOUND, "PathNotFound");
    }
    if (request->method == NGX_HTTP_GET) {
        done = ngx_http_discard_request_body(request);
        return done == NGX_OK ? show(request, zone) : done;
    }
    if (!conf->write || !(request->method & (NGX_HTTP_POST|NGX_HTTP_PATCH|NGX_HTTP_DELETE))) {
        return refuse(request, NGX_HTTP_NOT_ALLOWED, "MethodDisabled");
    }
    request->request_body_in_single_buf = 1;
    done = ngx_http_read_client_request_body(request, change);
    return done >= NGX_HTTP_SPECIAL_RESPONSE ? done : NGX_DONE;
}


static char *
api(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
    ngx_str_t                 *words = cf->args->elts;
    location_conf_t           *location = conf;
    ngx_http_core_loc_conf_t  *core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    location->write = cf->args->nelts == 2 && ngx_strcmp(words[1].data, "write=on") == 0;
    core->handler = handler;
    return NGX_CONF_OK;
}


static ngx_command_t  commands[] = {
    { ngx_string("keyval_zone"), NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE, keyval_zone,
      NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL },
    { ngx_string("keyval"), NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE3, keyval, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL },
    { ngx_string("api"), NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1, api, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL },
    ngx_null_command
};

static ngx_http_module_t  context = {
    NULL, NULL, create_main_conf, NULL, NULL, NULL, create_location_conf, NULL
};

ngx_module_t  plus_stand_in_api_module = {
    NGX_MODULE_V1, &context, commands, NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NGX_MODULE_V1_PADDING
};
