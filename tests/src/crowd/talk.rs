//! One talk: questions and answers, again and again, until it breaks or is to end. It decides what an answer is.

use std::{
    fmt,
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::{sleep_until, timeout},
};

use super::{
    Page,
    echo::{ANSWER, QUESTION},
};
use crate::net::scaled;

/// How long TCP may repeat a segment until its talk counts as broken; so long it may also take to connect.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long the next datagram waits for an answer to this one.
const ANSWERED: Duration = Duration::from_millis(900);
/// Time without any answer to a datagram after which their talk counts as broken.
const SILENCE: Duration = Duration::from_secs(8);

/// What a talk goes over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A connection.
    Tcp,
    /// Datagrams from one port.
    Udp,
}

/// How a talk ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// By the client's own wish.
    Closed,
    /// A reset in answer to the SYN, or an unreachable.
    Refused,
    /// A reset, or the connection's end.
    Reset,
    /// No answer for long.
    Silent,
    /// Another backend answered, with this number.
    Moved(u8),
    /// Anything else, in words.
    Other(String),
}

/// A talk, so far.
#[derive(Clone, Debug)]
pub struct Talk {
    /// What it goes over.
    pub kind: Kind,
    /// Who is asked.
    pub server: SocketAddr,
    /// When it began.
    pub began: Instant,
    /// The port that the questions come from; 0 before there is one.
    pub port: u16,
    /// The number of the backend that answered first.
    pub home: Option<u8>,
    /// Answers so far.
    pub answers: u32,
    /// The longest that an answer took.
    pub slowest: Duration,
    /// How it ended, if it has.
    pub ended: Option<(Instant, End)>,
}

impl End {
    /// True unless it was the client's own wish.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        *self != Self::Closed
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.pad("closed"),
            Self::Refused => f.pad("refused"),
            Self::Reset => f.pad("reset"),
            Self::Silent => f.pad("no answer"),
            Self::Moved(to) => write!(f, "answered by {to}"),
            Self::Other(words) => f.pad(words),
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => Self::Reset,
            ErrorKind::TimedOut => Self::Silent,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl Talk {
    pub(super) fn new(kind: Kind, server: SocketAddr) -> Self {
        let (port, home, answers, slowest, ended) = Default::default();
        Self { kind, server, began: Instant::now(), port, home, answers, slowest, ended }
    }

    /// Whether it has been answered and goes on.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.home.is_some() && self.ended.is_none()
    }

    /// Notes an answer by a backend; its number if that is another one than before.
    fn answered(&mut self, by: u8, asked: Instant) -> Option<u8> {
        self.answers += 1;
        self.slowest = self.slowest.max(asked.elapsed());
        (*self.home.get_or_insert(by) != by).then_some(by)
    }
}

/// Talks until that breaks or is to end.
pub(super) async fn talk(kind: Kind, server: SocketAddr, every: Duration, page: &Page) -> End {
    let ended = match kind {
        Kind::Tcp => over_tcp(server, every, page).await,
        Kind::Udp => over_udp(server, every, page).await,
    };
    ended.unwrap_or_else(End::from)
}

async fn over_tcp(server: SocketAddr, every: Duration, page: &Page) -> io::Result<End> {
    let Ok(stream) = timeout(scaled(PATIENCE), TcpStream::connect(server)).await else {
        return Ok(End::Silent);
    };
    let mut stream = stream?;
    stream.set_nodelay(true)?;
    let port = stream.local_addr()?.port();
    page.write(|talk| talk.port = port);
    for number in 0_u64.. {
        let asked = Instant::now();
        let mut answer = [0; ANSWER];
        let exchange = async {
            stream.write_all(&number.to_be_bytes()).await?;
            stream.read_exact(&mut answer).await
        };
        match timeout(scaled(PATIENCE), exchange).await {
            Err(_) => return Ok(End::Silent),
            Ok(done) => drop(done?),
        }
        if answer[1..] != number.to_be_bytes() {
            return Ok(End::Other(format!("question {number}, answer {answer:?}")));
        }
        if let Some(other) = page.write(|talk| talk.answered(answer[0], asked)) {
            return Ok(End::Moved(other));
        }
        if page.is_to_end() {
            break;
        }
        sleep_until((asked + every).into()).await;
    }
    Ok(End::Closed)
}

async fn over_udp(server: SocketAddr, every: Duration, page: &Page) -> io::Result<End> {
    let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    let port = socket.local_addr()?.port();
    page.write(|talk| talk.port = port);
    let mut heard = Instant::now();
    for number in 0_u64.. {
        let asked = Instant::now();
        socket.send(&number.to_be_bytes()).await?;
        match timeout(ANSWERED.min(every), answer_to(&socket, number, &mut heard)).await {
            Err(_) if heard.elapsed() > scaled(SILENCE) => return Ok(End::Silent),
            Err(_) => {}
            Ok(by) => {
                let by = by?;
                if let Some(other) = page.write(|talk| talk.answered(by, asked)) {
                    return Ok(End::Moved(other));
                }
            }
        }
        if page.is_to_end() {
            break;
        }
        sleep_until((asked + every).into()).await;
    }
    Ok(End::Closed)
}

/// Who answers a question; late answers to earlier ones are skipped, but `heard`.
async fn answer_to(socket: &UdpSocket, number: u64, heard: &mut Instant) -> io::Result<u8> {
    const { assert!(QUESTION == size_of::<u64>()) };
    loop {
        let mut answer = [0; ANSWER];
        let len = socket.recv(&mut answer).await?;
        *heard = Instant::now();
        if len == ANSWER && answer[1..] == number.to_be_bytes() {
            return Ok(answer[0]);
        }
    }
}
