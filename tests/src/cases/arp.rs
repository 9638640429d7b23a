//! ARP: requests for a VIP are answered, all else is left to the kernel.

use vip_common::{
    Reason,
    headers::{Arp, Mac},
};

use super::{Case, links::twin4};
use crate::{
    packet::{IP, cut, edit, pad},
    world::{CLIENT_MAC, CLIENT4, LOCAL4, OWN_MAC, VIP4, special::STANDBY},
};

const BROADCAST: Mac = [0xff; 6];
const NOBODY: Mac = [0; 6];
const SOMEBODY: Mac = [2, 0, 0, 0, 0, 3];
/// Length of an ARP packet with its Ethernet header, in bytes.
const LEN: usize = 42;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = answered();
    cases.extend(left_alone());
    cases.extend(others());
    cases.extend(broken());
    cases
}

fn answered() -> Vec<Case> {
    let answers = |name: &str, frame, after| Case::answers(name, frame, Reason::ArpAnswered, after);
    let to_client = reply((CLIENT_MAC, CLIENT4), VIP4);
    vec![
        answers("an ARP request for a VIP is answered", request(BROADCAST, CLIENT4, VIP4), to_client.clone()),
        answers("… also if it is asked of us alone", request(OWN_MAC, CLIENT4, VIP4), to_client.clone()),
        answers("… and keeps its padding", request(BROADCAST, CLIENT4, VIP4), to_client).padded(60),
        answers(
            "a VIP that is a local address as well is answered for too",
            request(BROADCAST, CLIENT4, LOCAL4),
            reply((CLIENT_MAC, CLIENT4), LOCAL4),
        ),
        answers(
            "who checks from 0.0.0.0 that a VIP is free hears that it is not (RFC 5227)",
            request(BROADCAST, [0; 4], VIP4),
            reply((CLIENT_MAC, [0; 4]), VIP4),
        ),
        answers(
            "the answer goes to the MAC that sent the frame, and names the MAC that asked",
            edit(request(BROADCAST, CLIENT4, VIP4), 6, &SOMEBODY),
            edit(reply((CLIENT_MAC, CLIENT4), VIP4), 0, &SOMEBODY),
        ),
    ]
}

fn left_alone() -> Vec<Case> {
    let passes = Case::passes;
    let no_vip = Reason::NoVip;
    vec![
        passes(
            "an ARP request for no VIP is left alone",
            request(BROADCAST, CLIENT4, [10, 77, 0, 1]),
            no_vip,
        ),
        passes(
            "an ARP request for an address that shares the bit of a VIP is left alone",
            request(BROADCAST, CLIENT4, twin4(VIP4)),
            no_vip,
        ),
        passes(
            "an ARP request for a VIP of somebody else's MAC is not for us",
            request(SOMEBODY, CLIENT4, VIP4),
            Reason::NotForUs,
        ),
        passes("an ARP reply to us is left alone", arp(OWN_MAC, Arp::REPLY, (CLIENT4, VIP4)), no_vip),
        passes("an unknown ARP operation is left alone", arp(BROADCAST, [0, 8], (CLIENT4, VIP4)), no_vip),
    ]
}

/// Who else says that a VIP is his, and who answers for it.
fn others() -> Vec<Case> {
    let passes = Case::passes;
    let no_vip = Reason::NoVip;
    vec![
        passes(
            "an ARP announcement of a VIP by somebody else is told",
            request(BROADCAST, VIP4, VIP4),
            Reason::DuplicateVip,
        ),
        passes(
            "a request by somebody else who has a VIP is told",
            request(BROADCAST, VIP4, CLIENT4),
            Reason::DuplicateVip,
        ),
        passes(
            "an ARP reply by somebody else who has a VIP is told",
            arp(OWN_MAC, Arp::REPLY, (VIP4, CLIENT4)),
            Reason::DuplicateVip,
        ),
        passes(
            "an ARP announcement of a VIP by ourselves is no news",
            frame((OWN_MAC, BROADCAST), Arp::REQUEST, (OWN_MAC, VIP4), (NOBODY, VIP4)),
            no_vip,
        ),
        passes(
            "an ARP announcement of a VIP that another director answers for is no news",
            request(BROADCAST, STANDBY.v4, STANDBY.v4),
            no_vip,
        ),
        Case::drops(
            "an ARP request for a VIP that another director answers for is dropped",
            question(STANDBY.v4),
            Reason::Standby,
        ),
    ]
}

fn broken() -> Vec<Case> {
    let whole = request(BROADCAST, CLIENT4, VIP4);
    let kinds = [("hardware", IP + 1), ("protocol", IP + 2), ("hardware length", IP + 4), ("length", IP + 5)];
    let mut cases: Vec<_> = kinds
        .map(|(what, at)| {
            let name = format!("an ARP request with another {what} is none of ours");
            Case::passes(name, edit(whole.clone(), at, &[9]), Reason::NoVip)
        })
        .into();
    cases.extend((IP..LEN).map(|len| {
        let name = format!("an ARP request cut off after {len} bytes is left alone");
        Case::passes(name, cut(whole.clone(), len), Reason::NoVip)
    }));
    let long = pad(whole, 1514);
    let after = pad(reply((CLIENT_MAC, CLIENT4), VIP4), 1514);
    cases.push(Case::answers("an ARP request in a full frame is answered", long, Reason::ArpAnswered, after));
    cases
}

/// A request for a VIP, of everybody.
pub(super) fn question(vip: [u8; 4]) -> Vec<u8> {
    request(BROADCAST, CLIENT4, vip)
}

/// The usual request with its answer.
pub(super) fn usual() -> Case {
    let after = reply((CLIENT_MAC, CLIENT4), VIP4);
    Case::answers("", question(VIP4), Reason::ArpAnswered, after)
}

fn request(destination: Mac, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    arp(destination, Arp::REQUEST, (sender, target))
}

fn arp(destination: Mac, operation: [u8; 2], (sender, target): ([u8; 4], [u8; 4])) -> Vec<u8> {
    frame((CLIENT_MAC, destination), operation, (CLIENT_MAC, sender), (NOBODY, target))
}

fn reply((mac, address): (Mac, [u8; 4]), vip: [u8; 4]) -> Vec<u8> {
    frame((OWN_MAC, mac), [0, 2], (OWN_MAC, vip), (mac, address))
}

fn frame(macs: (Mac, Mac), operation: [u8; 2], sender: (Mac, [u8; 4]), target: (Mac, [u8; 4])) -> Vec<u8> {
    let ethernet: [&[u8]; 3] = [&macs.1, &macs.0, &[8, 6]];
    let arp: [&[u8]; 6] = [&[0, 1, 8, 0, 6, 4], &operation, &sender.0, &sender.1, &target.0, &target.1];
    [ethernet.concat(), arp.concat()].concat()
}
