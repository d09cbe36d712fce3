#!/bin/sh
# Installs NGINX Plus and its OpenTelemetry module, and leaves nothing behind that only the installation needed.
#
# Its exit status says what went wrong: components/nginx_plus_image.py turns it into the configuration's key to look at.
set -eu

DEBIAN_FAILED=41 REFUSED=42 UNTRUSTED_SERVER=43 UNTRUSTED_KEY=44 UNREACHABLE=45 NO_PACKAGE=46 USER_TAKEN=47
export DEBIAN_FRONTEND=noninteractive

. /etc/os-release
host=${REPOSITORY#https://} host=${host%%/*} host=${host%:*}
log=$(mktemp)
keys=/etc/apt/trusted.gpg.d/nginx-plus.asc
list=/etc/apt/sources.list.d/nginx-plus.list
settings=/etc/apt/apt.conf.d/90nginx-plus
trap 'rm -f "$log" "$keys" "$list" "$settings"' EXIT

fail() {
    cat "$log" >&2
    echo "error: $2" >&2
    exit "$1"
}

# What was said of the repository or of the file with its keys.
explain() {
    # First: an index that is refused counts as not signed, too.
    if grep -qE ' 40[0137] ' "$log"; then
        fail $REFUSED "$1 refused the client certificate"
    elif grep -qE 'NO_PUBKEY|BADSIG|EXPKEYSIG|REVKEYSIG|not signed|no valid OpenPGP|signatures were invalid' "$log"; then
        fail $UNTRUSTED_KEY "the packages of $1 are signed with none of the keys that are trusted"
    elif grep -qE 'certificate is NOT trusted|issuer is unknown|does not match|No system certificates|verification failed' "$log"; then
        fail $UNTRUSTED_SERVER "the certificate of $1 is not trusted"
    elif grep -qE 'Could not (connect|resolve)|resolving|Unable to connect|timed out|unreachable| 50[0-9] ' "$log"; then
        fail $UNREACHABLE "$1 could not be reached"
    fi
    # With TLS 1.3 a server refuses a certificate by ending the connection.
    fail $REFUSED "$1 refused the client certificate, or has no such release"
}

# Otherwise an index that cannot be fetched is a warning.
update() {
    apt-get update --quiet --option APT::Update::Error-Mode=any "$@" >"$log" 2>&1
}

update || fail $DEBIAN_FAILED "Debian's packages could not be reached"
apt-get install --quiet --yes --no-install-recommends ca-certificates >"$log" 2>&1 ||
    fail $DEBIAN_FAILED "Debian's packages could not be installed"

{
    echo "Acquire::https::$host::SslCert \"/run/secrets/nginx-repo.crt\";"
    echo "Acquire::https::$host::SslKey \"/run/secrets/nginx-repo.key\";"
    if [ -s /run/secrets/repository-ca.crt ]; then
        echo "Acquire::https::$host::CaInfo \"/run/secrets/repository-ca.crt\";"
    fi
} >"$settings"

/usr/lib/apt/apt-helper download-file "$KEYRING" "$keys" >"$log" 2>&1 || explain "$KEYRING"
chmod 644 "$keys"
# apt takes a signature of these keys alone, whatever else is in the file.
echo "deb [signed-by=$FINGERPRINTS] $REPOSITORY/$RELEASE/debian $VERSION_CODENAME nginx-plus" >"$list"
update --option Dir::Etc::sourcelist="$list" --option Dir::Etc::sourceparts=- --option APT::Get::List-Cleanup=0 ||
    explain "$REPOSITORY"

# The user of the official images; the package would take the next number that is free.
{
    groupadd --system --gid 101 nginx &&
        useradd --system --gid nginx --no-create-home --home-dir /nonexistent --shell /bin/false --uid 101 nginx
} >"$log" 2>&1 || fail $USER_TAKEN "the base image has a user or group nginx, or 101"
apt-get install --quiet --yes --no-install-recommends nginx-plus nginx-plus-module-otel >"$log" 2>&1 ||
    fail $NO_PACKAGE "nginx-plus and nginx-plus-module-otel of $RELEASE could not be installed"
test -e /usr/lib/nginx/modules/ngx_otel_module.so || fail $NO_PACKAGE "nginx-plus-module-otel has no ngx_otel_module.so"

mkdir -p /var/lib/nginx/state
chown nginx:nginx /var/lib/nginx/state
ln -sf /dev/stdout /var/log/nginx/access.log
ln -sf /dev/stderr /var/log/nginx/error.log
# NGINX needs none of them, and nobody logs in.
find / -xdev -type f -perm /6000 -exec chmod ug-s {} +
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log /var/log/alternatives.log
