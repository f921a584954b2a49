//! A small HTTP server that stands for CloudFormation and the metadata service in tests.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

type Respond = dyn Fn(&str) -> (u16, String) + Send + Sync;

/// The server; it ends with the process.
pub(crate) struct Server {
    url: String,
    requests: Mutex<Vec<String>>,
    respond: Box<Respond>,
    /// Whether the metadata service wants tokens only.
    wants_token: bool,
}

impl Server {
    /// A metadata service as an instance has it; everything that is not under `/latest` goes to `respond`, which gets
    /// the whole request and gives a status and a body.
    pub(crate) fn of_an_instance(respond: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Arc<Self> {
        Self::start(Box::new(respond), true)
    }

    fn start(respond: Box<Respond>, wants_token: bool) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Self { url, requests: Mutex::default(), respond, wants_token });
        let shared = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = shared.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        server
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// An environment that leads to it.
    pub(crate) fn environment(&self) -> [(&str, &str); 2] {
        [("AWS_EC2_METADATA_SERVICE_ENDPOINT", &self.url), ("AWS_ENDPOINT_URL", &self.url)]
    }

    /// The requests so far, as they came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn serve(&self, mut stream: TcpStream) {
        while let Some(request) = read(&mut stream) {
            let (status, body) = match request.split(' ').nth(1).and_then(|path| path.strip_prefix("/latest/")) {
                Some(path) => self.metadata(path, &request),
                None => (self.respond)(&request),
            };
            self.requests.lock().unwrap().push(request);
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
            if stream.write_all((head + &body).as_bytes()).is_err() {
                return;
            }
        }
    }

    fn metadata(&self, path: &str, request: &str) -> (u16, String) {
        if path == "api/token" {
            return (200, "token==".into());
        }
        if self.wants_token && !request.contains("x-aws-ec2-metadata-token: token==") {
            return (401, String::new());
        }
        let text = match path {
            "meta-data/instance-id" => "i-0123456789abcdef0",
            "meta-data/placement/availability-zone" => "eu-west-1a",
            "meta-data/local-ipv4" => "172.31.38.7",
            "meta-data/public-keys/" => "0=mykey",
            "meta-data/public-keys/0/" => "openssh-key",
            "meta-data/public-keys/0/openssh-key" => "ssh-rsa AAAA mykey\n",
            "meta-data/block-device-mapping/" => "ami",
            "meta-data/block-device-mapping/ami" => "/dev/xvda",
            "dynamic/instance-identity/document" => "{\"a\": 1}\n",
            "dynamic/instance-identity/signature" => "c2ln\nbmF0dXJl\n",
            "meta-data/iam/security-credentials/web" => {
                r#"{"AccessKeyId": "ASIA", "SecretAccessKey": "s", "Token": "session"}"#
            }
            _ => return (404, String::new()),
        };
        (200, text.into())
    }
}

fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// What `DescribeStackResource` answers for the resource `Server` with that metadata.
pub(crate) fn resource(metadata: &Value) -> String {
    json!({"DescribeStackResourceResponse": {"DescribeStackResourceResult": {"StackResourceDetail": {
        "LogicalResourceId": "Server", "PhysicalResourceId": "lc-1", "ResourceStatus": "CREATE_COMPLETE",
        "LastUpdatedTimestamp": 1.0, "Metadata": metadata.to_string(),
    }}}})
    .to_string()
}
