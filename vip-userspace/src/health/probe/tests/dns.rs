//! DNS questions to real servers, good ones and bad ones.

use std::net::SocketAddr;

use simple_dns::{CLASS, Packet, PacketFlag, RCODE, ResourceRecord, rdata::RData};
use tokio::net::UdpSocket;

use super::{LONG, SHORT};
use crate::{
    health::{Path, probe},
    model::{Cause, Dns, Probe, Rcode, Record, Unreachable},
};

/// A server that makes of each question an answer.
async fn start(answer: impl Fn(Packet<'_>) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question).await {
            let packet = Packet::parse(&question[..length]).expect("a question");
            socket.send_to(&answer(packet), from).await.expect("sent");
        }
    });
    address
}

fn of(name: &str) -> Dns {
    Dns { name: name.to_owned(), record: Record::A, rcode: Rcode::NoError }
}

async fn tried(dns: Dns, address: SocketAddr) -> Result<(), Cause> {
    probe(&Probe::Dns(dns), address, &Path::Routed, LONG).await
}

/// Answers with an address where asked for one, and that there is no such name where it is not `known`.
fn reply(question: Packet<'_>, known: &str, flags: PacketFlag) -> Vec<u8> {
    let asked = question.questions[0].clone();
    let mut reply = question.into_reply();
    reply.set_flags(flags);
    if asked.qname.to_string() == known {
        let address = RData::A(std::net::Ipv4Addr::new(192, 0, 2, 1).into());
        reply.answers.push(ResourceRecord::new(asked.qname, CLASS::IN, 60, address));
    } else {
        *reply.rcode_mut() = RCODE::NameError;
    }
    reply.build_bytes_vec().expect("an answer")
}

#[tokio::test]
async fn code_and_record_decide() {
    let address = start(|question| reply(question, "a.example", PacketFlag::empty())).await;
    assert_eq!(tried(of("a.example"), address).await, Ok(()));
    assert_eq!(tried(of("a.example."), address).await, Ok(()), "with its last dot");
    let said = |result: Result<(), Cause>| result.expect_err("a failure").to_string();
    let soa = Dns { record: Record::Soa, ..of("a.example") };
    assert_eq!(said(tried(soa, address).await), "DNS answer without SOA record for a.example");
    assert_eq!(said(tried(of("b.example"), address).await), "DNS answer NXDOMAIN, expected NOERROR");
    let none = Dns { rcode: Rcode::NxDomain, ..of("b.example") };
    assert_eq!(tried(none, address).await, Ok(()));
    let none = Dns { rcode: Rcode::NxDomain, ..of("a.example") };
    assert_eq!(said(tried(none, address).await), "DNS answer NOERROR, expected NXDOMAIN");
    let root = start(|question| {
        assert_eq!(question.questions[0].qname.to_string(), "");
        reply(question, "", PacketFlag::empty())
    });
    assert_eq!(tried(of("."), root.await).await, Ok(()));
}

#[tokio::test]
async fn an_answer_that_was_cut_is_taken_for_whole() {
    let empty = |question: Packet<'_>| {
        let mut reply = question.into_reply();
        reply.set_flags(PacketFlag::TRUNCATION);
        reply.build_bytes_vec().expect("an answer")
    };
    assert_eq!(tried(of("a.example"), start(empty).await).await, Ok(()));
}

#[tokio::test]
async fn garbage_and_answers_to_others_are_no_answer() {
    let other = |mut question: Packet<'_>| {
        question.set_id(question.id().wrapping_add(1));
        reply(question, "a.example", PacketFlag::empty())
    };
    let echo = |question: Packet<'_>| question.build_bytes_vec().expect("a packet");
    for address in
        [start(other).await, start(echo).await, start(|_| vec![7; 11]).await, start(|_| vec![]).await]
    {
        let cause = tried(of("a.example"), address).await.expect_err("no answer");
        assert!(matches!(cause, Cause::NoDnsAnswer { .. }), "{cause}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_late_and_a_closed_port_unreachable() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = socket.local_addr().expect("an address");
    let kind = Probe::Dns(of("a.example"));
    let late = probe(&kind, address, &Path::Routed, SHORT[0]).await.expect_err("no answer");
    assert_eq!(late.to_string(), "timed out after 50 ms while waiting for the answer");
    drop(socket);
    assert_eq!(tried(of("a.example"), address).await, Err(Cause::Unreachable { what: Unreachable::Port }));
}
