//! Asks a DNS question by UDP, and looks at the answer.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
};

use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};

use super::{Attempt, open::blame};
use crate::model::{Cause, Dns, Rcode, Record, Stage, Unreachable};

/// Longest answer that is read: without more being asked for (RFC 6891) it has 512 bytes at most.
const MAX_ANSWER: usize = 4096;

pub(super) async fn probe(attempt: Attempt<'_>, dns: &Dns) -> Result<(), Cause> {
    let [low, high, ..] = RandomState::new().hash_one(attempt.target.address).to_le_bytes();
    let id = u16::from_le_bytes([low, high]);
    let question = question(id, dns).map_err(|error| Cause::NotMade { said: error.to_string() })?;
    let asked = async {
        let socket = attempt.target.datagrams().await?;
        socket.send(&question).await.map_err(|error| lost(&error))?;
        let mut answer = [0; MAX_ANSWER];
        let length = socket.recv(&mut answer).await.map_err(|error| lost(&error))?;
        judge(id, dns, &answer[..length])
    };
    attempt.within(Stage::Answer, asked).await
}

fn question(id: u16, dns: &Dns) -> simple_dns::Result<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(dns.name.trim_end_matches('.'))?;
    packet.questions.push(Question::new(name, kind(dns.record).into(), CLASS::IN.into(), false));
    packet.build_bytes_vec()
}

fn judge(id: u16, dns: &Dns, answer: &[u8]) -> Result<(), Cause> {
    let no_answer = |said: String| Err(Cause::NoDnsAnswer { said });
    let packet = match Packet::parse(answer) {
        Ok(packet) => packet,
        Err(error) => return no_answer(error.to_string()),
    };
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return no_answer("it answers no question of ours".to_owned());
    }
    let got = code(packet.rcode());
    if got != dns.rcode.word() {
        return Err(Cause::DnsRcode { got: got.to_owned(), expected: dns.rcode.word().to_owned() });
    }
    // What did not fit is there.
    let is_cut = packet.has_flags(PacketFlag::TRUNCATION);
    let has_one = packet.answers.iter().any(|answer| answer.rdata.type_code() == kind(dns.record));
    match dns.rcode == Rcode::NoError && !is_cut && !has_one {
        true => Err(Cause::DnsNoRecord { name: dns.name.clone(), kind: dns.record.word().to_owned() }),
        false => Ok(()),
    }
}

/// To a datagram, a refused connection is a port that nobody listens on.
fn lost(error: &io::Error) -> Cause {
    match blame(error, Stage::Answer) {
        Cause::PortClosed => Cause::Unreachable { what: Unreachable::Port },
        cause => cause,
    }
}

const fn kind(record: Record) -> TYPE {
    match record {
        Record::A => TYPE::A,
        Record::Aaaa => TYPE::AAAA,
        Record::Cname => TYPE::CNAME,
        Record::Mx => TYPE::MX,
        Record::Ns => TYPE::NS,
        Record::Ptr => TYPE::PTR,
        Record::Soa => TYPE::SOA,
        Record::Srv => TYPE::SRV,
        Record::Txt => TYPE::TXT,
    }
}

/// A code's name (RFC 6895, section 2.3).
const fn code(rcode: RCODE) -> &'static str {
    match rcode {
        RCODE::NoError => "NOERROR",
        RCODE::FormatError => "FORMERR",
        RCODE::ServerFailure => "SERVFAIL",
        RCODE::NameError => "NXDOMAIN",
        RCODE::NotImplemented => "NOTIMP",
        RCODE::Refused => "REFUSED",
        RCODE::YXDOMAIN => "YXDOMAIN",
        RCODE::YXRRSET => "YXRRSET",
        RCODE::NXRRSET => "NXRRSET",
        RCODE::NOTAUTH => "NOTAUTH",
        RCODE::NOTZONE => "NOTZONE",
        RCODE::BADVERS => "BADVERS",
        RCODE::Reserved => "a reserved code",
    }
}
