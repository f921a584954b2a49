//! The attacks. In each, `OPEN` is a request that is sent for all to see, and what asks for `HIDDEN` is not sent as a
//! request by any reading that the balancer may choose.

/// An attack, its placeholders still in it.
pub(crate) struct Attack {
    pub(crate) name: String,
    text: String,
}

impl Attack {
    pub(crate) fn bytes(&self, index: usize) -> Vec<u8> {
        // Texts write bytes beyond ASCII as characters of Latin-1.
        let text = self.text.replace("OPEN", &open_path(index)).replace("HIDDEN", &hidden_path(index));
        text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect()
    }
}

pub(crate) fn open_path(index: usize) -> String {
    format!("/open-{index:03}")
}

pub(crate) fn hidden_path(index: usize) -> String {
    format!("/hidden-{index:03}")
}

pub(crate) fn attacks() -> Vec<Attack> {
    let framed = FRAMINGS.iter().flat_map(|lines| [covering(lines), within(lines)]);
    let lengths = LENGTHS.iter().map(|lines| covering(lines));
    let chunked = CHUNKS.iter().map(|body| Attack {
        name: format!("chunks {body:?}"),
        text: format!("POST OPEN HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
    });
    let whole = WHOLE.iter().map(|text| Attack { name: format!("{text:?}"), text: (*text).to_owned() });
    framed.chain(lengths).chain(chunked).chain(whole).collect()
}

const HIDDEN: &str = "GET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n";

/// The hidden request's length: its path is longer than the word for it.
fn hidden_bytes() -> usize {
    HIDDEN.replace("HIDDEN", &hidden_path(0)).len()
}

/// By its length the body covers the hidden request, by its chunks it ends before it.
fn covering(lines: &str) -> Attack {
    attack("covered", lines, "0\r\n\r\n".len() + hidden_bytes(), &format!("0\r\n\r\n{HIDDEN}"))
}

/// By its chunks the body covers the hidden request, by its length it ends before it.
fn within(lines: &str) -> Attack {
    let size = format!("{:x}\r\n", hidden_bytes());
    attack("in a chunk", lines, size.len(), &format!("{size}{HIDDEN}\r\n0\r\n\r\n"))
}

fn attack(how: &str, lines: &str, length: usize, body: &str) -> Attack {
    let lines = lines.replace("{n}", &length.to_string()).replace("{x}", &format!("{length:x}"));
    Attack {
        name: format!("{how} by {lines:?}"),
        text: format!("POST OPEN HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}"),
    }
}

/// Lines that frame by a length for one reader and by chunks for another.
const FRAMINGS: &[&str] = &[
    "Content-Length: {n}\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: {n}",
    "Content-Length: {n}\r\nTransfer-Encoding : chunked",
    "Content-Length: {n}\r\nTransfer-Encoding\t: chunked",
    "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: {n}",
    "X: y\r\n\tTransfer-Encoding: chunked\r\nContent-Length: {n}",
    "X: y\nTransfer-Encoding: chunked\r\nContent-Length: {n}",
    "X: y\rTransfer-Encoding: chunked\r\nContent-Length: {n}",
    "X: y\r\n\rTransfer-Encoding: chunked\r\nContent-Length: {n}",
    "X: y\0Transfer-Encoding: chunked\r\nContent-Length: {n}",
    "Content-Length: {n}\r\nTransfer-Encoding:chunked",
    "Content-Length: {n}\r\nTransfer-Encoding:\tchunked",
    "Content-Length: {n}\r\nTransfer-Encoding: \tchunked \t",
    "Content-Length: {n}\r\nTransfer-Encoding:\x0bchunked",
    "Content-Length: {n}\r\nTransfer-Encoding:\x0cchunked",
    "Content-Length: {n}\r\nTransfer-Encoding: \x01chunked",
    "Content-Length: {n}\r\nTransfer-Encoding: \u{a0}chunked",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked\u{85}",
    "Content-Length: {n}\r\nTransfer-Encoding:\r\n chunked",
    "Content-Length: {n}\r\nTransfer-Encoding:\n chunked",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked\r",
    "Content-Length: {n}\r\nTransfer-Encoding: xchunked",
    "Content-Length: {n}\r\nTransfer-Encoding: chunkedx",
    "Content-Length: {n}\r\nTransfer-Encoding: chunk",
    "Content-Length: {n}\r\nTransfer-Encoding: x chunked",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked x",
    "Content-Length: {n}\r\nTransfer-Encoding: \"chunked\"",
    "Content-Length: {n}\r\nTransfer-Encoding: 'chunked'",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked;x=y",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked;\"",
    "Content-Length: {n}\r\nTransfer-Encoding: CHUNKED",
    "Content-Length: {n}\r\ntRANSFER-eNCODING: chunked",
    "Content-Length: {n}\r\nTransfer-Encoding: chun\u{e2}\u{84}\u{aa}ed",
    "Content-Length: {n}\r\nTransfer-Encoding: identity",
    "Content-Length: {n}\r\nTransfer-Encoding: identity, chunked",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked, identity",
    "Content-Length: {n}\r\nTransfer-Encoding: gzip, chunked",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked, gzip",
    "Content-Length: {n}\r\nTransfer-Encoding: cow, chunked",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked, cow",
    "Content-Length: {n}\r\nTransfer-Encoding: ,chunked",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked,",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked, chunked",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Content-Length: {n}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Content-Length: {n}\r\nTransfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    "Content-Length: {n}\r\nTransfer-Encoding: \r\nTransfer-Encoding: chunked",
    "Content-Length: {n}\r\nTransfer_Encoding: chunked",
    "Content-Length: {n}\r\nTransfer--Encoding: chunked",
    "Content-Length: {n}\r\nTransfer Encoding: chunked",
    "Content-Length: {n}\r\nTransfer\u{e2}\u{80}\u{90}Encoding: chunked",
    "Content-Length: {n}\r\nTran\u{c5}\u{bf}fer-Encoding: chunked",
    "Content-Length: {n}\r\nTransfer-Encoding\0: chunked",
    "Content-Length: {n}\r\n\0Transfer-Encoding: chunked",
    "Content-Length: {n}\r\n\x01Transfer-Encoding: chunked",
    "Content-Length: {n}\r\nTransfer-Encoding\u{a0}: chunked",
    "Content-Length: {n}\r\n:Transfer-Encoding: chunked",
    "Content-Length: {n}\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
    "Connection: Content-Length\r\nContent-Length: {n}\r\nTransfer-Encoding: chunked",
    "Content-Length: x\r\nTransfer-Encoding: chunked\r\nContent-Length: {n}",
    "Content-Length : {n}\r\nTransfer-Encoding: chunked",
    "Content_Length: {n}\r\nTransfer_Encoding: chunked",
];

/// Lines whose length one reader takes and another doesn't.
const LENGTHS: &[&str] = &[
    "Content-Length: {n}",
    "Content-Length: 0{n}",
    "Content-Length: {n}\r\nContent-Length: {n}",
    "Content-Length: {n}, {n}",
    "Content-Length: {n}\r\nContent-Length: 0",
    "Content-Length: 0\r\nContent-Length: {n}",
    "Content-Length: 0, {n}",
    "Content-Length: {n}, 0",
    "Content-Length: {n} 0",
    "Content-Length: {n}\r\n 0",
    "Content-Length: 0\r\n Content-Length: {n}",
    "Content-Length: +{n}",
    "Content-Length: -{n}",
    "Content-Length: 0x{x}",
    "Content-Length: {n}.0",
    "Content-Length: {n}e0",
    "Content-Length: {n};",
    "Content-Length: \x0b{n}",
    "Content-Length: {n}\x0c",
    "Content-Length: {n}\0",
    "Content-Length: \u{b2}{n}",
    "Content-Length: 184467440737095516160",
    "Content-Length:\r\n {n}",
    "Content-Length : {n}",
    "Content_Length: {n}",
    "Content-Length\x01: {n}",
    "\rContent-Length: {n}",
    "Content-Length: {n}\nX: y",
    "Content-Length: {n}\r\nConnection: close, content-length",
    "Content-Length: {n}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    "Content-Length: {n}\r\nConnection: Upgrade\r\nUpgrade: websocket",
    "Content-Length: {n}\r\nContent-Encoding: chunked",
    "Content-Length: {n}\r\nTE: chunked",
    "Content-Length: {n}\r\nExpect: 100-continue",
    "Content-Length: {n}\r\nExpect: 100-continue, x",
    "Content-Length: {n}\r\nExpect: x 100-continue",
    "Content-Length: {n}\r\nX: \0",
    "Content-Length: {n}\r\nX: \x7f",
    "Content-Length: {n}\r\nX-HTTP-Method-Override: HEAD",
];

/// Bodies whose chunks one reader sees and another doesn't.
const CHUNKS: &[&str] = &[
    "0x2e\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "+0\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "-1\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    " 0\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "0\n\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "0\r\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "0\rGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "0_0\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "0\0\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "10000000000000000\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "00000000000000000\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "ffffffffffffffff0\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "2;a\nxx\r\n2e\r\n0\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "2;\rGET HIDDEN HTTP/1.1\r\nxx\r\n0\r\n\r\n",
    "2;x=\"\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n\"\r\nxx\r\n0\r\n\r\n",
    "2;GET HIDDEN HTTP/1.1\r\nxx\r\n0\r\n\r\n",
    "2\r\nxxGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "2\r\nxxx\r\n0\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "2\r\nxx\n0\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "2\r\nxx\r0\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "0\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "0\r\n GET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "0\r\nX: y\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "0\r\nX: y\rGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "0\r\nX: GET HIDDEN HTTP/1.1\r\n\r\n",
    "0\r\nX: y\r\nContent-Length: 46\r\nTransfer-Encoding: chunked\r\nHost: HIDDEN\r\n\r\n",
];

/// Whole requests.
const WHOLE: &[&str] = &[
    "GET OPEN HTTP/1.1\r\nHost: a\r\nContent-Length: 42\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n123456789",
    "HEAD OPEN HTTP/1.1\r\nHost: a\r\nContent-Length: 39\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n123456",
    "GET OPEN HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n27\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n123456\r\n0\r\n\r\n",
    "POST OPEN HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST OPEN HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST OPEN HTTP/0.9\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/2.0\r\nHost: a\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT OPEN HTTP/1.1\r\nHost: a\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/1.1\rGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN\rX HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
    "GET OPEN\0 HTTP/1.1\r\nHost: a\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN\tHTTP/1.1\r\nHost: a\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN%20HTTP/1.1%0d%0aHost:%20a%0d%0a%0d%0aGET%20/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/1.1\r\nHost: a\r\nX: y\r\n\r \r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/1.1\r\nHost: a\r\n \r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/1.1\r\nHost: a\r\nX: y\r\n \r\nGET HIDDEN HTTP/1.1\r\nX: z\r\n\r\n",
    "GET OPEN HTTP/1.1\r\nHost: a\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/1.1\r\nHost : a\r\nHost: b\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/1.1\r\nHost: a b\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/1.1\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://aOPEN HTTP/1.1\r\nHost: b\r\nX: GET HIDDEN HTTP/1.1\r\n\r\n",
    "GET http://u@aOPEN HTTP/1.1\r\nHost: b\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET ftp://aOPEN HTTP/1.1\r\nHost: b\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET @aOPEN HTTP/1.1\r\nHost: b\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/1.1\nHost: a\nX: y\rGET HIDDEN HTTP/1.1\rHost: b\r\r\n\n",
    "GE\rT OPEN HTTP/1.1\r\nHost: a\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET\0 OPEN HTTP/1.1\r\nHost: a\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN http/1.1\r\nHost: a\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/1.1x\r\nHost: a\r\n\r\nGET HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET OPEN HTTP/1.1 HTTP/1.1\r\nHost: a\r\nX: GET HIDDEN HTTP/1.1\r\n\r\n",
];
