//! The control socket's two ends, over a real Unix socket, with a controller that only writes down what it is asked.

use std::{
    os::unix::net::UnixStream as StdStream,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use vip_userspace::{
    control::{
        Answer, Code, Command, Desk, Herald, Limits, Query, Refused, Request, Status, Wanted,
        client::Client,
        protocol::{BackendDrain, DrainStatus, DrainingMember, Membership, Rules},
        server::serve,
    },
    model::{Admin, Maintenance, Others},
};

/// Time in which anything here must be done.
const DEADLINE: Duration = Duration::from_secs(10);

/// A server, and a controller that notes commands, refuses to remove `b9`, and ends at `Detach`.
struct Controller {
    directory: TempDir,
    noted: Arc<Mutex<Vec<Command>>>,
    server: JoinHandle<()>,
    _kept: (Herald, watch::Sender<Rules>),
}

impl Controller {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join("vip.sock")).expect("a socket");
        let (sender, receiver) = mpsc::channel(1);
        let noted = Arc::default();
        tokio::spawn(answer(receiver, Arc::clone(&noted)));
        let (herald, listening) = Herald::new();
        let owner = rustix::process::geteuid().as_raw();
        let rules = Rules { owner, group: 0, group_name: "root".to_owned(), others: Others::None };
        let (rules, watched) = watch::channel(rules);
        let desk = Desk::new(sender, listening, watched, Limits::default());
        Self { directory, noted, server: tokio::spawn(serve(listener, desk)), _kept: (herald, rules) }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("vip.sock")
    }

    fn client(&self) -> Client {
        Client::new(&self.socket())
    }

    fn noted(&self) -> Vec<Command> {
        self.noted.lock().expect("a whole list").clone()
    }

    /// Sends text as it is; returns the status and the body of the answer.
    async fn say(&self, text: &str) -> (u16, Value) {
        let mut stream = UnixStream::connect(self.socket()).await.expect("connect");
        stream.write_all(text.as_bytes()).await.expect("send");
        let mut answer = Vec::new();
        // A connection that is closed with unread bytes in it ends in an error, after the answer.
        let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("an answer in time");
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    async fn request(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: vip\r\nContent-Length: {length}\r\n\r\n");
        self.say(&(head + body)).await
    }
}

async fn answer(mut requests: mpsc::Receiver<Request>, noted: Arc<Mutex<Vec<Command>>>) {
    while let Some(Request { what, answer, .. }) = requests.recv().await {
        let reply = match &what {
            Wanted::Query(Query::Status) => Ok(Answer::Status(Box::new(status()))),
            Wanted::Query(Query::Drain { backend }) if backend.as_str() == "b1" => {
                Ok(Answer::Drain(drains()))
            }
            Wanted::Query(Query::Drain { .. }) => Err(Refused::new(Code::NoBackend, "there is none")),
            Wanted::Command(Command::RemoveBackend { name, .. }) if name.as_str() == "b9" => {
                Err(Refused::new(Code::NoBackend, "there is no backend b9").with_remedy("look again"))
            }
            Wanted::Query(_) | Wanted::Trace(_) | Wanted::EndTrace => {
                Err(Refused::new(Code::Failed, "this one knows no more"))
            }
            Wanted::Command(command) => {
                noted.lock().expect("a whole list").push(command.clone());
                Ok(Answer::Done)
            }
        };
        answer.send(reply).expect("somebody waits");
        if what == Wanted::Command(Command::Detach) {
            return;
        }
    }
}

fn status() -> Status {
    Status {
        instance: "default".into(),
        version: "0.1.0".into(),
        controller: true,
        pid: Some(1),
        uptime_seconds: Some(2),
        layout: 1,
        interfaces: Vec::new(),
        inlet: None,
        services: Vec::new(),
        backends: Vec::new(),
        reasons: Vec::new(),
        flow_table: None,
        unlisted_addresses: 0,
    }
}

fn drains() -> Vec<DrainingMember> {
    let drain = DrainStatus {
        maintenance: false,
        seconds: 3,
        flows_left: Some(2),
        unknown_slots: 100,
        unknown_seconds: Some(7897),
        timeout_seconds: None,
        gone: false,
    };
    let service = "web".parse().expect("a name");
    vec![DrainingMember { service, admin: Admin::Draining, drain: Some(drain), ended: None }]
}

fn commands() -> Vec<Command> {
    let service = |text: &str| text.parse().expect("a name");
    let b1 = || "b1".parse().expect("a name");
    let web = json!({
        "name": "web", "address": "[fd00:200::1]:80/tcp", "slots": 1021, "ttl": "keep",
        "check": { "probe": { "kind": "http", "path": "/health", "expect": [200, 299] },
                   "interval": "1s", "timeout": "500ms", "rise": 2, "fall": 3 },
        "members": [{ "backend": "b1", "weight": 50 }, { "backend": "b2" }]
    });
    let machine = json!({ "name": "b1", "ipv4": "10.0.0.1", "ipv6": "fd00::1", "mac": "02:00:00:00:00:01" });
    vec![
        Command::AddService { service: serde_json::from_value(web).expect("a service") },
        Command::RemoveService { name: service("web") },
        Command::AddBackend {
            backend: serde_json::from_value(machine).expect("a backend"),
            services: vec![Membership { service: service("web"), weight: 7, backup: false }],
        },
        Command::RemoveBackend { name: b1(), service: None },
        Command::RemoveBackend { name: b1(), service: Some(service("web-6.x_y")) },
        Command::SetAdmin { backend: b1(), service: None, admin: Admin::Disabled, timeout: None },
        Command::SetAdmin {
            backend: b1(),
            service: Some(service("web")),
            admin: Admin::Enabled,
            timeout: None,
        },
        Command::SetAdmin {
            backend: b1(),
            service: None,
            admin: Admin::Draining,
            timeout: Some(Duration::from_secs(600)),
        },
        Command::SetMaintenance { backend: b1(), maintenance: Maintenance::Draining, timeout: None },
        Command::SetMaintenance { backend: b1(), maintenance: Maintenance::Off, timeout: None },
        Command::SetWeight { backend: b1(), service: Some(service("web")), weight: 0 },
    ]
}

#[tokio::test]
async fn every_command_arrives_as_it_was_sent() {
    let controller = Controller::start();
    for command in commands() {
        controller.client().command(&command).await.expect("it is done");
    }
    assert_eq!(controller.noted(), commands());
    assert_eq!(controller.client().status().await, Ok(status()));
    let backend = |name: &str| name.parse().expect("a name");
    let drain = controller.client().drain(&backend("b1")).await.expect("an answer");
    assert_eq!(drain, BackendDrain { backend: backend("b1"), members: drains() });
    assert_eq!(controller.client().drain(&backend("b2")).await.expect_err("none").code, Code::NoBackend);
}

#[tokio::test]
async fn the_answer_to_the_last_command_gets_out_before_the_server_ends() {
    let controller = Controller::start();
    let _half_open = UnixStream::connect(controller.socket()).await.expect("connect");
    let client = controller.client();
    client.command(&Command::Detach).await.expect("it is done");
    timeout(DEADLINE, controller.server).await.expect("the server ends").expect("without a panic");
    assert_eq!(client.status().await.expect_err("nobody listens").code, Code::NoController);
}

#[tokio::test]
async fn a_refusal_reaches_the_client_whole() {
    let controller = Controller::start();
    let command = Command::RemoveBackend { name: "b9".parse().expect("a name"), service: None };
    let refused = controller.client().command(&command).await.expect_err("it is refused");
    assert_eq!(refused, Refused::new(Code::NoBackend, "there is no backend b9").with_remedy("look again"));
}

#[tokio::test]
async fn a_client_whose_request_is_too_long_is_told_so() {
    let controller = Controller::start();
    let members: Vec<_> = (0..60_000).map(|at| json!({ "backend": format!("b{at}") })).collect();
    let service = json!({ "name": "web", "address": "10.0.0.1:80/tcp", "members": members });
    let command = Command::AddService { service: serde_json::from_value(service).expect("a service") };
    assert_eq!(controller.client().command(&command).await.expect_err("too long").code, Code::TooLong);
}

#[tokio::test]
async fn without_a_socket_there_is_no_controller() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused = Client::new(&directory.path().join("none")).status().await.expect_err("nobody is there");
    assert_eq!(refused.code, Code::NoController);
}

#[tokio::test]
async fn bad_requests_are_refused_in_json_and_reach_nobody() {
    let controller = Controller::start();
    let service = r#"{"name":"web","address":"10.0.0.1:80/tcp","colour":"red"}"#;
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    let cases = [
        ("POST", "/v1/services", "{", 400, "bad-request", "EOF while parsing"),
        ("POST", "/v1/services", "[]", 400, "bad-request", "no JSON object"),
        ("POST", "/v1/services", "\u{1}", 400, "bad-request", "expected value"),
        ("POST", "/v1/services", service, 400, "bad-request", "unknown field `colour`"),
        ("POST", "/v1/services", r#"{"name":"a b"}"#, 400, "bad-request", "\"a b\" is no name"),
        ("POST", "/v1/services", &long, 413, "too-long", "longer than 65536 bytes"),
        ("POST", "/v1/backends", r#"{"name":"b1"}"#, 400, "bad-request", "unknown field `name`"),
        ("PUT", "/v1/backends/b1/weight", r#"{"weight":-1}"#, 400, "bad-request", "invalid value"),
        ("PUT", "/v1/backends/b1/admin", r#"{"admin":"gone"}"#, 400, "bad-request", "unknown variant `gone`"),
        ("DELETE", "/v1/backends/b9", "", 404, "no-backend", "there is no backend b9"),
        ("DELETE", "/v1/backends/b1?serivce=web", "", 400, "bad-request", "unknown parameter \"serivce\""),
        ("DELETE", "/v1/backends/%2e%2e", "", 400, "bad-request", "\"..\" is no name"),
        ("DELETE", "/v1/backends/%ff", "", 400, "bad-request", "is no name"),
        ("GET", "/v1/statsu", "", 404, "no-such-path", "no such path"),
        ("GET", "/v1/detach", "", 405, "method-not-allowed", "not for this method"),
    ];
    for (method, path, body, status, code, message) in cases {
        let (got, answer) = controller.request(method, path, body).await;
        let error = &answer["error"];
        assert_eq!((got, error["code"].as_str()), (status, Some(code)), "{method} {path}: {answer}");
        let said = error["message"].as_str().unwrap_or_default();
        assert!(said.contains(message), "{method} {path}: {said}");
    }
    assert_eq!(controller.noted(), []);
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let controller = Controller::start();
    assert_eq!(controller.say("good morning\r\n\r\n").await.0, 400);
    let endless = format!("GET /v1/status HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(40_000));
    assert_eq!(controller.say(&endless).await.0, 431);
}

#[tokio::test]
async fn lists_are_served_to_curl() {
    let controller = Controller::start();
    assert_eq!(controller.request("GET", "/v1/services", "").await, (200, json!({ "services": [] })));
    assert_eq!(controller.request("GET", "/v1/backends", "").await, (200, json!({ "backends": [] })));
    let (status, body) = controller.request("GET", "/v1/status", "").await;
    assert_eq!((status, &body["instance"]), (200, &json!("default")));
}

#[tokio::test]
async fn half_open_connections_hinder_nobody() {
    let controller = Controller::start();
    let socket = controller.socket();
    // From a thread of its own: connecting blocks once the kernel's queue is full.
    let open = tokio::task::spawn_blocking(move || {
        (0..4 * Limits::default().connections)
            .map(|_| StdStream::connect(&socket).expect("connect"))
            .collect::<Vec<_>>()
    });
    let open = timeout(DEADLINE, open).await.expect("all are accepted in time").expect("no panic");
    let mut slow = UnixStream::connect(controller.socket()).await.expect("connect");
    let head = b"POST /v1/services HTTP/1.1\r\nHost: vip\r\nContent-Length: 10\r\n\r\n{";
    slow.write_all(head).await.expect("send");
    let started = Instant::now();
    assert_eq!(controller.client().status().await, Ok(status()));
    // Sooner than the server gives up on one of them, which is after five seconds.
    assert!(started.elapsed() < Duration::from_secs(4), "it took {:?}", started.elapsed());
    drop((open, slow));
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let controller = Controller::start();
    let mut silent = UnixStream::connect(controller.socket()).await.expect("connect");
    let mut nothing = Vec::new();
    let read = timeout(DEADLINE, silent.read_to_end(&mut nothing)).await;
    read.expect("it is closed in time").expect("read");
}
