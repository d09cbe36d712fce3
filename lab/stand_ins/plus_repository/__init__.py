"""What stands around NGINX Plus, for tests of `edition: plus`: all of it real but the packages.

A package repository that demands a client certificate (`packages`, `repository`), a base image of Debian (`debian`)
and a BuildKit that builds (`buildkit`). The packages are called as F5's are, since the program's Dockerfile asks for
those names; what they hold is NGINX, open source, with the lab's module and the stand-in of
`lab/stand_ins/nginx-plus`. No program or image of F5's is here.
"""
