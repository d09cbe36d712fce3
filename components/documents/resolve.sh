#!/bin/sh
# Writes the upstreams that have names, for NGINX of the same pod: `resolve.sh /etc/resolv.conf template target`.
#
# NGINX neither reads resolv.conf nor tries the domains that it lists, and both are the cluster's: of the template the
# words NAMESERVERS and CLUSTER_DOMAIN are replaced. Needs POD_IPS, the pod's addresses. The shell's own commands do all of
# it, since images have few others.
set -euf

nameservers='' domain=cluster.local
while read -r key values || [ -n "$key" ]; do
    case $key in
    nameserver)
        case $values in
        *%*) ;; # An address with a scope, which NGINX does not know.
        *:*) nameservers="$nameservers [${values%% *}]" ;;
        *) nameservers="$nameservers ${values%% *}" ;;
        esac
        ;;
    search)
        for name in $values; do
            case $name in svc.*) domain=${name#svc.} domain=${domain%.} ;; esac
        done
        ;;
    esac
done <"$1"
if [ -z "$nameservers" ]; then
    echo "$1 names no nameserver: set nginx.resolver.addresses" >&2
    exit 1
fi
nameservers=${nameservers# }

# An address of a family that the pod has not would be tried, and fail.
case $POD_IPS in *:*) ;; *) nameservers="$nameservers ipv6=off" ;; esac
case $POD_IPS in *.*) ;; *) nameservers="$nameservers ipv4=off" ;; esac

while IFS= read -r line || [ -n "$line" ]; do
    case $line in
    *NAMESERVERS*) line="${line%%NAMESERVERS*}$nameservers${line#*NAMESERVERS}" ;;
    *CLUSTER_DOMAIN*) line="${line%%CLUSTER_DOMAIN*}$domain${line#*CLUSTER_DOMAIN}" ;;
    esac
    printf '%s\n' "$line"
done <"$2" >"$3"
