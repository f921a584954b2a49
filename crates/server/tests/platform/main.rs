//! The whole platform over HTTP: the built binary as a child process, and requests as clients send them.

mod auth;
mod browser;
mod limits;
mod pages;
mod routing;
mod shutdown;
mod start;
mod support;
