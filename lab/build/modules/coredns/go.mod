module nginx-tracing/lab/tools/coredns

go 1.26

require github.com/coredns/coredns v1.11.3
