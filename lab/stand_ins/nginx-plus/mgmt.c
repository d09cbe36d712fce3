/* The block `mgmt`: what NGINX Plus checks of its license and its state folder before it starts. */

#include <ngx_config.h>
#include <ngx_core.h>

#define GRACE_SECONDS (90 * 24 * 3600)

typedef struct {
    ngx_str_t   license_token;
    ngx_str_t   state_path;
    ngx_flag_t  there;
} mgmt_conf_t;


static ngx_int_t
check_license(ngx_cycle_t *cycle, ngx_str_t *path)
{
    u_char      text[16384], json[16384], *first, *second, *found;
    ssize_t     length;
    time_t      until;
    ngx_fd_t    fd;
    ngx_str_t   encoded, decoded;

    fd = ngx_open_file(path->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "license file \"%V\" is required and cannot be read", path);
        return NGX_ERROR;
    }

    length = ngx_read_fd(fd, text, sizeof(text) - 1);
    ngx_close_file(fd);
    text[length > 0 ? length : 0] = '\0';

    first = (u_char *) ngx_strchr(text, '.');
    second = first ? (u_char *) ngx_strchr(first + 1, '.') : NULL;
    if (second == NULL || ngx_strlchr(text, text + length, '\n') || ngx_strlchr(text, text + length, ' ')) {
        goto invalid;
    }

    encoded.data = first + 1;
    encoded.len = second - encoded.data;
    decoded.data = json;
    if (ngx_decode_base64url(&decoded, &encoded) != NGX_OK) {
        goto invalid;
    }
    json[decoded.len] = '\0';

    found = (u_char *) ngx_strstr(json, "\"f5_sat\":");
    if (found == NULL) {
        goto invalid;
    }
    found += sizeof("\"f5_sat\":") - 1;
    until = (time_t) strtoll((char *) found, NULL, 10);

    if (until + GRACE_SECONDS < ngx_time()) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "license in \"%V\" expired over 90 days ago", path);
        return NGX_ERROR;
    }
    return NGX_OK;

invalid:

    ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "license in \"%V\" is invalid", path);
    return NGX_ERROR;
}


static ngx_int_t
check_state(ngx_cycle_t *cycle, ngx_str_t *path)
{
    u_char    name[NGX_MAX_PATH];
    ngx_fd_t  fd;

    ngx_snprintf(name, sizeof(name), "%V/nginx-mgmt-state%Z", path);
    fd = ngx_open_file(name, NGX_FILE_WRONLY, NGX_FILE_CREATE_OR_OPEN, 0600);
    if (fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno, "state_path \"%V\" cannot be written to", path);
        return NGX_ERROR;
    }
    ngx_close_file(fd);
    return NGX_OK;
}


static void *
create_conf(ngx_cycle_t *cycle)
{
    return ngx_pcalloc(cycle->pool, sizeof(mgmt_conf_t));
}


static char *
init_conf(ngx_cycle_t *cycle, void *conf)
{
    mgmt_conf_t  *mgmt = conf;

    if (mgmt->license_token.len == 0) {
        ngx_str_set(&mgmt->license_token, "license.jwt");
    }
    if (mgmt->state_path.len == 0) {
        ngx_str_set(&mgmt->state_path, "/var/lib/nginx/state");
    }
    if (ngx_conf_full_name(cycle, &mgmt->license_token, 1) != NGX_OK
        || check_license(cycle, &mgmt->license_token) != NGX_OK
        || check_state(cycle, &mgmt->state_path) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }
    return NGX_CONF_OK;
}


static char *
directive(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
    ngx_str_t    *words = cf->args->elts;
    mgmt_conf_t  *mgmt = conf;
    ngx_uint_t    i;

    static const char  *plain[] = { "usage_report", "enforce_initial_report", "proxy", "resolver",
                                    "ssl_trusted_certificate", "ssl_verify", NULL };

    if (cf->args->nelts == 2 && ngx_strcmp(words[0].data, "license_token") == 0) {
        mgmt->license_token = words[1];
        return NGX_CONF_OK;
    }
    if (cf->args->nelts == 2 && ngx_strcmp(words[0].data, "state_path") == 0) {
        mgmt->state_path = words[1];
        return NGX_CONF_OK;
    }
    for (i = 0; plain[i] != NULL; i++) {
        if (ngx_strcmp(words[0].data, plain[i]) == 0 && cf->args->nelts > 1) {
            return NGX_CONF_OK;
        }
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "unknown directive \"%V\" in \"mgmt\"", &words[0]);
    return NGX_CONF_ERROR;
}


static char *
block(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
    char         *result;
    ngx_conf_t    outer = *cf;
    mgmt_conf_t  *mgmt = conf;

    if (mgmt->there) {
        return "is duplicate";
    }
    mgmt->there = 1;
    cf->handler = directive;
    cf->handler_conf = (void *) mgmt;
    result = ngx_conf_parse(cf, NULL);
    *cf = outer;
    return result;
}


static ngx_command_t  commands[] = {
    { ngx_string("mgmt"), NGX_MAIN_CONF|NGX_DIRECT_CONF|NGX_CONF_BLOCK|NGX_CONF_NOARGS, block, 0, 0, NULL },
    ngx_null_command
};

static ngx_core_module_t  context = { ngx_string("plus_stand_in_mgmt"), create_conf, init_conf };

ngx_module_t  plus_stand_in_mgmt_module = {
    NGX_MODULE_V1, &context, commands, NGX_CORE_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NGX_MODULE_V1_PADDING
};
