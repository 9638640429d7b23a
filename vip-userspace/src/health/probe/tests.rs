//! Probes of real servers on the loopback, good ones and bad ones.

mod dns;
mod grpc;
mod script;
mod tls;

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};

use super::*;
use crate::model::{Http, Method};

/// For probes that are to end before their time is up.
const LONG: Duration = Duration::from_secs(30);
/// For probes that are to be late: within the first, a busy machine may not get as far as it should before.
const SHORT: [Duration; 3] = [Duration::from_millis(50), Duration::from_secs(1), Duration::from_secs(10)];

fn http() -> Probe {
    Probe::Http(Http::get("/health?full=1"))
}

/// A server for one connection: reads a request, says `once`, then says `always` until nobody listens any more.
/// Returns what it read.
async fn server(once: &'static str, always: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let byte = stream.read_u8().await.expect("a request");
            request.push(byte);
        }
        if stream.write_all(once.as_bytes()).await.is_ok() && !always.is_empty() {
            while stream.write_all(always.as_bytes()).await.is_ok() {}
        }
        String::from_utf8(request).expect("text")
    });
    (address, serving)
}

/// Expects that a probe is late at that stage, and gives it more time where it was late before.
async fn is_late(stage: &str, probe: impl AsyncFn(Duration) -> Result<(), Cause>) {
    let mut said = Vec::new();
    for timeout in SHORT {
        let cause = probe(timeout).await.expect_err("it is late");
        assert!(matches!(cause, Cause::Timeout { timeout: told, .. } if told == timeout), "{cause}");
        said.push(cause.to_string());
        if said.iter().any(|words| words.ends_with(&format!(" while {stage}"))) {
            return;
        }
    }
    panic!("never late while {stage}: {said:?}");
}

async fn ask(once: &'static str, always: &'static str, timeout: Duration) -> Result<(), String> {
    let (address, _) = server(once, always).await;
    probe(&http(), address, &Path::Routed, timeout).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_accepted_connection_is_success_and_ends_by_rst() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    probe(&Probe::Tcp, address, &Path::Routed, LONG).await.expect("success");
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let end = stream.read_u8().await.expect_err("no byte");
    assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_refuses() {
    let bound = TcpSocket::new_v4().expect("a socket");
    bound.bind("127.0.0.1:0".parse().expect("an address")).expect("a port that stays ours");
    let address = bound.local_addr().expect("an address");
    for kind in [Probe::Tcp, http()] {
        let error = probe(&kind, address, &Path::Routed, LONG).await.expect_err("no listener");
        assert_eq!(error.to_string(), "connection refused");
        assert!(error.counts());
    }
}

#[tokio::test]
async fn a_backend_that_drops_every_packet_is_late_while_connecting() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    // With a full queue of connections that nobody accepts, the kernel drops SYNs.
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut queue = Vec::new();
    while let Ok(connected) = tokio::time::timeout(SHORT[0], TcpStream::connect(address)).await {
        queue.push(connected.expect("a connection"));
    }
    is_late("connecting", async |time| probe(&Probe::Tcp, address, &Path::Routed, time).await).await;
}

#[tokio::test]
async fn the_status_decides() {
    assert_eq!(ask("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "", LONG).await, Ok(()));
    assert_eq!(ask("HTTP/1.0 301 Moved Permanently\r\n\r\n", "", LONG).await, Ok(()));
    for (answer, words) in [
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP status 503, expected 200–399"),
        ("HTTP/1.1 404 \r\n\r\n", "HTTP status 404, expected 200–399"),
    ] {
        assert_eq!(ask(answer, "", LONG).await, Err(words.to_owned()));
    }
}

#[tokio::test]
async fn the_request_names_path_host_and_who_asks() {
    let (address, serving) = server("HTTP/1.1 204 No Content\r\n\r\n", "").await;
    probe(&http(), address, &Path::Routed, LONG).await.expect("success");
    let request = serving.await.expect("a request");
    assert!(request.starts_with("GET /health?full=1 HTTP/1.1\r\n"), "{request}");
    for line in [format!("host: {address}"), "connection: close".to_owned(), "user-agent: vip/".to_owned()] {
        assert!(request.contains(&line), "{request}");
    }

    let (address, serving) = server("HTTP/1.1 204 No Content\r\n\r\n", "").await;
    let named = Http {
        method: Method::Post,
        host: Some("www.example".to_owned()),
        expect: (204, 204),
        ..Http::get("/")
    };
    let named = Probe::Http(named);
    probe(&named, address, &Path::Routed, LONG).await.expect("success");
    let request = serving.await.expect("a request");
    assert!(
        request.starts_with("POST / HTTP/1.1\r\n") && request.contains("host: www.example\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn a_body_is_not_waited_for() {
    assert_eq!(ask("HTTP/1.1 200 OK\r\n\r\n", "for ever and ever ", LONG).await, Ok(()));
}

#[tokio::test]
async fn a_text_is_looked_for_in_the_body_as_far_as_that_is_read() {
    let with = |text: &str, answer, always| {
        let kind = Probe::Http(Http { body: Some(text.to_owned()), ..Http::get("/") });
        async move {
            let (address, _) = server(answer, always).await;
            probe(&kind, address, &Path::Routed, LONG).await.map_err(|error| error.to_string())
        }
    };
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nI a\r\n4\r\nm fi\r\n3\r\nne.\r\n0\r\n\r\n";
    assert_eq!(with("am fine", chunked, "").await, Ok(()), "over the borders of chunks");
    let lacks = |text: &str, read| Err(format!("the body lacks {text:?} in its first {read} bytes"));
    assert_eq!(with("am ill", chunked, "").await, lacks("am ill", 10));
    assert_eq!(with("fine", "HTTP/1.1 204 No Content\r\n\r\n", "").await, lacks("fine", 0));
    let endless = "HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(with("fine", endless, "for ever and ever ").await, lacks("fine", 65_536));
    assert_eq!(with("ever", endless, "for ever and ever ").await, Ok(()));
    let gigabyte = "HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n";
    assert_eq!(with("fine", gigabyte, "for ever and ever ").await, lacks("fine", 65_536));
    let ill = "HTTP/1.1 500 Ill\r\ncontent-length: 4\r\n\r\nfine";
    assert_eq!(with("fine", ill, "").await, Err("HTTP status 500, expected 200–399".to_owned()));
}

#[tokio::test]
async fn a_body_that_stands_still_is_late() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfi";
    let (address, _) = server(ANSWER, "").await;
    let kind = Probe::Http(Http { body: Some("fine".to_owned()), ..Http::get("/") });
    // The server of the others ends the connection; this one keeps it open.
    let ask = async |time| {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let still = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read_u8().await;
            let _ = stream.write_all(ANSWER.as_bytes()).await;
            while stream.read_u8().await.is_ok() {}
        });
        let late = probe(&kind, still, &Path::Routed, time).await;
        serving.await.expect("it ends");
        late
    };
    is_late("reading the body", ask).await;
    let short = probe(&kind, address, &Path::Routed, LONG).await.expect_err("cut short");
    assert!(short.to_string().starts_with("no HTTP answer: "), "{short}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_late() {
    let stage = "waiting for the answer";
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    is_late(stage, async |time| probe(&http(), address, &Path::Routed, time).await).await;
    let always_about_to_answer = async |time| {
        let (address, _) = server("", "HTTP/1.1 100 Continue\r\n\r\n").await;
        probe(&http(), address, &Path::Routed, time).await
    };
    is_late(stage, always_about_to_answer).await;
}

#[tokio::test]
async fn garbage_is_no_answer() {
    for (once, always) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", ""),
        ("\0\0\0\0\0\0", ""),
        ("", ""),
        ("HTTP/1.1 200 OK\r\n", ""),
        ("HTTP/1.1 20", ""),
        ("", "garbage"),
    ] {
        let words = ask(once, always, LONG).await.expect_err("no answer");
        assert!(words.starts_with("no HTTP answer: "), "{once:?}: {words}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_given_up_long_before_the_time_is_up() {
    for (once, always) in [
        ("HTTP/1.1 200 OK\r\n", "x-more: and more\r\n"),
        ("HTTP/1.1 200 OK\r\nx-long: ", "and longer "),
        ("HTTP/1.1 200 ", "fine "),
    ] {
        let words = ask(once, always, LONG).await.expect_err("no answer");
        assert_eq!(words, "no HTTP answer: message head is too large", "{once:?}");
    }
}

#[tokio::test]
async fn an_echo_request_is_replied_to_though_many_are_under_way() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let address: SocketAddr = address.parse().expect("an address");
        let mut probes = tokio::task::JoinSet::new();
        for _ in 0..200 {
            probes.spawn(async move { probe(&Probe::Ping, address, &Path::Routed, LONG).await });
        }
        while let Some(result) = probes.join_next().await {
            assert_eq!(result.expect("a probe"), Ok(()), "{address}");
        }
        let here = probe(&Probe::Ping, address, &Path::Here, LONG).await;
        assert_eq!(here, Ok(()), "{address}");
    }
}

#[test]
fn what_this_box_lacks_is_not_held_against_the_backend() {
    let blame = |code| open::blame(&io::Error::from_raw_os_error(code), Stage::Answer);
    for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EADDRNOTAVAIL, libc::EPERM] {
        assert!(!blame(code).counts(), "{code}");
    }
    let full = blame(libc::EMFILE).to_string();
    assert!(full.starts_with("the probe could not be made: Too many open files"), "{full}");
    for (code, words) in [
        (libc::ECONNREFUSED, "connection refused"),
        (libc::EHOSTUNREACH, "host unreachable"),
        (libc::ENETUNREACH, "network unreachable"),
        (libc::ECONNRESET, "connection reset while waiting for the answer"),
    ] {
        assert_eq!((blame(code).to_string().as_str(), blame(code).counts()), (words, true));
    }
}
