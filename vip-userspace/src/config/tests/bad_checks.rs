//! Of bad checks everything that is wrong is told, each with its line, and nothing else.

use super::bad::refuses;

/// Expects that a check with these lines, from line 15 on, is refused with just these messages.
fn refuses_check(protocol: &str, lines: &str, messages: &str) {
    let head = format!("[service.b]\nvip = '10.200.0.2'\nport = 53\nprotocol = '{protocol}'\n");
    refuses(&format!("{head}[service.b.check]\n{lines}"), messages);
}

#[test]
fn what_a_kind_does_not_know_is_named_with_the_kinds_that_do() {
    refuses_check(
        "tcp",
        "tls = true\nbody = 'a'\nrcode = 'NOERROR'\nuser = 'nobody'\nhost = 'a'",
        r#"line 16: service b: check: "body" needs "http" or "https": a check by tls knows no such thing
line 17: service b: check: "rcode" needs "dns": a check by tls knows no such thing
line 18: service b: check: "user" needs "script": a check by tls knows no such thing
line 19: service b: check: "host" needs "http", "https", "grpc" or "grpcs": a check by tls knows no such thing"#,
    );
    refuses_check(
        "tcp",
        "pnig = true",
        r#"line 15: service b: check: unknown key "pnig": did you mean "ping"?"#,
    );
}

#[test]
fn what_is_asked_of_web_servers_is_looked_at() {
    refuses_check(
        "tcp",
        "https = '/'\nmethod = 'GETS'\nbody = ''\nsni = 'a b'\nca = 'ca.pem'\ninsecure = 1",
        r#"line 16: service b: check: method: "GETS" is no method: GET, HEAD, OPTIONS or POST; did you mean "GET"?
line 17: service b: body "": write a text of 1 to 1024 bytes
line 18: service b: sni "a b": write a host name, like www.example.org
line 19: service b: ca "ca.pem": write a path from the root on, like /etc/vip/file
line 20: service b: check: "insecure" takes true or false, not a whole number"#,
    );
    refuses_check(
        "tcp",
        "tls = true\nca = '/ca.pem'\ninsecure = true",
        r#"line 16: service b: ca "/ca.pem": leave it out with insecure: anybody is trusted"#,
    );
    refuses_check(
        "tcp",
        "http = '/'\nmethod = 'HEAD'\nbody = 'a'",
        r#"line 17: service b: body "a": leave it out with method HEAD: the answer has no body"#,
    );
}

#[test]
fn what_is_asked_of_others_is_looked_at() {
    refuses_check(
        "udp",
        "dns = 'a..b'\nrecord = 'B'\nrcode = 'NOPE'",
        r#"line 15: service b: dns "a..b": write a DNS name, like www.example.org
line 16: service b: check: record: "B" is no type of DNS records: A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT
line 17: service b: check: rcode: "NOPE" is no DNS answer code: NOERROR, NXDOMAIN, REFUSED, SERVFAIL, FORMERR or NOTIMP"#,
    );
    refuses_check(
        "tcp",
        "dns = 'a.example'",
        "line 14: service b: a TCP service can't be checked on its own port by dns: give the check a `port`",
    );
    refuses_check(
        "tcp",
        "grpc = 'a b'\nhost = ''",
        r#"line 15: service b: grpc "a b": write a gRPC service's name of up to 127 letters, or nothing for the whole server
line 16: service b: "" is no host name"#,
    );
    refuses_check(
        "tcp",
        "ping = true\nport = 7",
        r#"line 16: service b: port "7": leave it out with ping: it has no ports"#,
    );
}

#[test]
fn a_script_is_a_file_with_its_arguments() {
    refuses_check(
        "tcp",
        "script = 'check'\nuser = ''",
        r#"line 15: service b: script "check": write a path from the root on, like /etc/vip/file
line 16: service b: user "": write the name of a user of this box"#,
    );
    for nothing in ["[]", "['/bin/check', 1]"] {
        refuses_check(
            "tcp",
            &format!("script = {nothing}"),
            r#"line 15: service b: check: script is a file and its arguments, like ["/usr/local/bin/check", "--fast"]"#,
        );
    }
}

#[test]
fn intervals_that_are_no_hurry_or_no_rest_are_refused() {
    refuses(
        "[service.b]\nvip = '10.200.0.2'\nport = 80\n[service.b.check]\ntcp = true\nfast-interval = '2s'\n\
         down-interval = '10ms'\nfast-intervall = '1s'",
        "line 15: service b: fast-interval 2s is out of range: 10ms to 1s\n\
         line 16: service b: down-interval 10ms is out of range: 1s to 1h\n\
         line 17: service b: check: unknown key \"fast-intervall\": did you mean \"fast-interval\"?",
    );
}

#[test]
fn checks_that_contradict_themselves_are_refused() {
    refuses(
        r#"[service.b]
vip = "10.200.0.2"
port = 80
[service.b.check]
http = "/"
tcp = true
[service.c]
vip = "10.200.0.3"
port = 80
check.tcp = false
check.host = "example.org"
check.expect = 200
[service.d]
vip = "10.200.0.4"
port = 53
protocol = "udp"
check = { tcp = true }"#,
        r#"line 15: service b: check: it has "http" and "tcp": one of them is enough
line 19: service c: check: tcp = false checks nothing: leave the whole check out
line 20: service c: check: "host" needs "http", "https", "grpc" or "grpcs": a check by tcp knows no such thing
line 21: service c: check: "expect" needs "http" or "https": a check by tcp knows no such thing
line 26: service d: a UDP service can't be checked on its own port by tcp: give the check a `port`"#,
    );
}
