"""Provides what `edition: plus` needs in tests: all of it is real but the packages.

There are a package repository that demands a client certificate (`packages`, `repository`), a base image of Debian
(`debian`) and a BuildKit that builds (`buildkit`). The packages have the names of F5's, which the program's Dockerfile
asks for. They hold NGINX, open source, with the lab's module and the stand-in of `lab/stand_ins/nginx-plus`. No program
or image of F5 is here.
"""
