//! The servers behind every balancer: an HTTP/1.1 server that costs next to nothing.
//!
//! `GET /N` answers N bytes. It runs as a process of its own, so that its CPU time is nobody else's.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves on all of `addresses` until the process is ended.
pub(crate) async fn serve(addresses: &[SocketAddr]) -> anyhow::Result<()> {
    let mut accepting = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        accepting.push(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer_all(stream));
            }
        }));
    }
    futures_util::future::join_all(accepting).await;
    Ok(())
}

async fn answer_all(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut request, mut answer, mut answered) = (Vec::with_capacity(4096), Vec::new(), usize::MAX);
    loop {
        request.clear();
        while memchr::memmem::find(&request, b"\r\n\r\n").is_none() {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let wanted = wanted_bytes(&request);
        if wanted != answered {
            answer =
                format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {wanted}\r\n\r\n").into_bytes();
            answer.resize(answer.len() + wanted, b'x');
            answered = wanted;
        }
        stream.write_all(&answer).await?;
    }
}

/// `GET /1024 HTTP/1.1` wants 1024 bytes; health checks and everything else want 2.
fn wanted_bytes(request: &[u8]) -> usize {
    let digits = request.strip_prefix(b"GET /").unwrap_or_default();
    let digits = &digits[..digits.iter().take_while(|b| b.is_ascii_digit()).count()];
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}
