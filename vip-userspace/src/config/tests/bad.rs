//! Of a bad configuration everything that is wrong is told, each with its line, and nothing else.

use crate::config::parse;

/// A configuration that is good, with `lines` at its end, from line 10 on.
fn with(lines: &str) -> String {
    let good = r#"interfaces = ["eth0"]
service.web.vip = "10.200.0.1"
service.web.port = 80
service.web.members = ["b1", "b2"]
backend.b1.address = ["10.0.0.11", "fd00::11"]
backend.b2.address = "10.0.0.12"


# The next line is the tenth.
"#;
    format!("{good}{lines}")
}

/// Expects that the lines from line 10 on are refused, with just these messages.
pub(super) fn refuses(lines: &str, messages: &str) {
    let problems = parse(&with(lines)).map(|_| ()).expect_err(lines);
    assert_eq!(problems.to_string(), messages, "{lines}");
}

#[test]
fn what_the_other_tests_start_from_is_good() {
    assert_eq!(with("").lines().count(), 9);
    assert!(parse(&with("")).is_ok());
}

/// Expects that a whole file is refused, with just these messages.
pub(super) fn refuses_file(text: &str, messages: &str) {
    let problems = parse(text).map(|_| ()).expect_err(text);
    assert_eq!(problems.to_string(), messages, "{text}");
}

#[test]
fn a_file_without_interfaces_is_told_what_it_needs() {
    let needed =
        r#""interfaces" is missing: the director is attached to at least one, like interfaces = ["eth0"]"#;
    refuses_file("", needed);
    refuses_file("# nothing\n", needed);
    refuses_file("mode = 'auto'", needed);
    refuses_file(
        "interfaces = []",
        r#"line 1: "interfaces" is empty: the director is attached to at least one, like interfaces = ["eth0"]"#,
    );
}

#[test]
fn names_that_no_interface_can_have_are_refused() {
    refuses_file(
        "interfaces = [\n'eth0',\n'',\n'eth 0',\n'a/b',\n'sixteen-bytes-xx',\n'..',\n'eth0',\n7]",
        r#"line 3: "" is no name of an interface: it has 1 to 15 bytes, no blanks, no '/' and no ':'
line 4: "eth 0" is no name of an interface: it has 1 to 15 bytes, no blanks, no '/' and no ':'
line 5: "a/b" is no name of an interface: it has 1 to 15 bytes, no blanks, no '/' and no ':'
line 6: "sixteen-bytes-xx" is no name of an interface: it has 1 to 15 bytes, no blanks, no '/' and no ':'
line 7: ".." is no name of an interface: it has 1 to 15 bytes, no blanks, no '/' and no ':'
line 8: interface eth0 is stated twice
line 9: "interfaces" takes names, not a whole number"#,
    );
    refuses_file("interfaces = 'eth0'", r#"line 1: "interfaces" takes a list, like ["eth0"], not a string"#);
}

#[test]
fn unknown_keys_are_named_with_the_nearest_right_one() {
    refuses_file(
        "interfaces = ['eth0']\nmdoe = 'auto'\n[services.web]\nvip = 1\n",
        "line 2: unknown key \"mdoe\": did you mean \"mode\"?\nline 3: unknown key \"services\": did you mean \"service\"?",
    );
    refuses(
        "[service.b]\nvip = '10.200.0.2'\nprot = 80\n",
        r#"line 12: service b: unknown key "prot": did you mean "port"?"#,
    );
    refuses(
        "[service.b]\nvip = '10.200.0.2'\nport = 80\nproto = 'tcp'\ncolour = 'blue'\n",
        "line 13: service b: unknown key \"proto\": did you mean \"protocol\"?\n\
         line 14: service b: unknown key \"colour\": the keys here are vip, port, protocol, slots, ttl, \
         members, check, scheduler, affinity, affinity-prefix, on-dead, window, idle, fragments, no-backend, \
         quorum, quorum-hysteresis, panic-threshold, slow-start",
    );
    refuses(
        "[backend.b3]\nadress = '10.0.0.13'\n",
        r#"line 11: backend b3: unknown key "adress": did you mean "address"?"#,
    );
    refuses("[capacity]\nslot = 9\n", r#"line 11: capacity: unknown key "slot": did you mean "slots"?"#);
    refuses(
        "[service.b]\nvip = '10.200.0.2'\nport = 80\ncheck = { tpc = true, intervall = '1s' }\n\
         members = ['b1', { backend = 'b2', wieght = 1 }]\n",
        "line 13: service b: check: unknown key \"tpc\": did you mean \"tcp\"?\n\
         line 13: service b: check: unknown key \"intervall\": did you mean \"interval\"?\n\
         line 14: service b: member: unknown key \"wieght\": did you mean \"weight\"?",
    );
}

#[test]
fn what_is_missing_is_named_with_an_example() {
    refuses(
        "[service.b]\nmembers = [{ weight = 1 }]\ncheck = { rise = 1 }\n[backend.b3]\n",
        r#"line 10: service b: "port" is missing: state it, like port = 80, port = "8000-8999" or port = "*"
line 10: service b: "vip" is missing: state it, like vip = "10.200.0.1"
line 11: service b: member: "backend" is missing: state it, like { backend = "b1", weight = 50 }
line 12: service b: check: "http" is missing: state it, like http = "/health", or tcp = true
line 13: backend b3: "address" is missing: state it, like address = "10.0.0.11" or address = ["10.0.0.11", "fd00::11"]"#,
    );
}

#[test]
fn values_of_a_wrong_type_are_refused() {
    refuses(
        r#"[service.b]
vip = 10
port = 80.5
protocol = true
slots = 1.5
ttl = 64
members = "b1"
check = "tcp"
[backend.b3]
address = 1
mac = 2"#,
        r#"line 11: service b: "vip" takes a string, not a whole number
line 12: service b: "port" takes a whole number, or a string like "8000-8999" or "*", not a fraction
line 13: service b: "protocol" takes a string, not true or false
line 14: service b: "slots" takes a whole number, not a fraction
line 15: service b: "ttl" takes a string, not a whole number
line 16: service b: "members" takes a list, like ["b1", { backend = "b2", weight = 50 }], not a string
line 17: service b: check is a table, not a string
line 19: backend b3: "address" takes one string, or a list of them, not a whole number
line 20: backend b3: "mac" takes a string, not a whole number"#,
    );
    refuses(
        r#"[service.b]
vip = "10.200.0.2"
port = 80
members = [1]
check.tcp = 1
check.interval = 1000
check.rise = []"#,
        r#"line 13: service b: "members" takes names and tables, like ["b1", { backend = "b2", weight = 50 }], not a whole number
line 14: service b: check: "tcp" takes true or false, not a whole number
line 15: service b: check: "interval" takes a duration, like "500ms" or "2s", not a whole number
line 16: service b: check: "rise" takes a whole number, not a list"#,
    );
    refuses_file(
        "interfaces = ['eth0']\nservice = 1\ncapacity = 1\n[[backend]]\n",
        r#"line 2: "service" takes tables with a name, like [service.NAME], not a whole number
line 3: capacity is a table, not a whole number
line 4: "backend" takes tables with a name, like [backend.NAME], not a list"#,
    );
}

#[test]
fn texts_that_say_nothing_are_refused() {
    refuses(
        r#"[service.b]
vip = "10.200.0"
port = 80
protocol = "icmp"
ttl = "inherit"
members = ["b 1"]
check = { http = "health", host = "a b", expect = "2xx", interval = "1", timeout = "1.5s" }
[backend.b3]
address = ["10.0.0.13", "fd00::g"]
mac = "02:00:00""#,
        r#"line 11: service b: vip: "10.200.0" is no IP address
line 13: service b: protocol: "icmp" is no protocol: tcp, udp, sctp or any
line 14: service b: ttl: "inherit" is no treatment of TTLs: decrease or keep
line 15: service b: members: "b 1" is no name: use 1 to 63 letters, digits, '.', '-' and '_', the first a letter or a digit
line 16: service b: "health" is no path: it starts with '/' and has no blanks
line 16: service b: "a b" is no host name
line 16: service b: check: expect: "2xx" is no status: write one, like 200, or a range, like "200-399"
line 16: service b: check: interval: "1" is no duration: write a whole number and a unit, like 500ms, 2s, 1m or 1h
line 16: service b: check: timeout: "1.5s" is no duration: write a whole number and a unit, like 500ms, 2s, 1m or 1h
line 18: backend b3: address: "fd00::g" is no IP address
line 19: backend b3: mac: "02:00:00" is no MAC address, like 02:00:00:00:00:01"#,
    );
    refuses(
        "[service.'a b']\nvip = '10.200.0.2'\n[backend.'']\n",
        "line 10: \"a b\" is no name: use 1 to 63 letters, digits, '.', '-' and '_', the first a letter or a digit\n\
         line 12: \"\" is no name: use 1 to 63 letters, digits, '.', '-' and '_', the first a letter or a digit",
    );
    refuses_file(
        "interfaces = ['eth0']\nmode = 'drv'",
        r#"line 2: mode: "drv" is no mode: auto, native or generic"#,
    );
}

#[test]
fn a_bad_seed_is_not_repeated() {
    for seed in ["0011", "00112233445566778899aabbccddeefg"] {
        refuses_file(
            &format!("interfaces = ['eth0']\nseed = '{seed}'"),
            "line 2: seed: a seed is 32 hexadecimal digits, like the output of `openssl rand -hex 16`",
        );
    }
    let config =
        parse("interfaces = ['eth0']\nseed = '00112233445566778899aabbccddeeff'").expect("a good one");
    assert!(!format!("{config:?}").contains("0011"));
}

#[test]
fn numbers_out_of_range_are_refused_with_their_range() {
    refuses(
        r#"[capacity]
slots = 134217729
members = 0
services = -1
[service.b]
vip = "10.200.0.2"
port = 65536
slots = 262140
members = ["b1", { backend = "b2", weight = 1001 }]
[service.b.check]
http = "/"
expect = 99
interval = "5ms"
timeout = "11ms"
rise = 0
fall = 101
port = 0"#,
        r#"line 11: capacity: slots 134217729 is out of range: 1 to 134217728
line 12: capacity: members 0 is out of range: 1 to 1048576
line 13: capacity: services -1 is out of range: 1 to 1048576
line 16: service b: port 65536 is out of range: 1 to 65535
line 17: service b: slots 262140 is out of range: 1 to 262139
line 18: service b: member: weight 1001 is out of range: 0 to 1000
line 21: service b: check: expect 99 is out of range: 100 to 599
line 22: service b: interval 5ms is out of range: 10ms to 1h
line 23: service b: timeout 11ms is out of range: 1ms to 10ms
line 24: service b: check: rise 0 is out of range: 1 to 100
line 25: service b: check: fall 101 is out of range: 1 to 100
line 26: service b: check: port 0 is out of range: 1 to 65535"#,
    );
    refuses(
        "[service.b]\nvip = '10.200.0.2'\nport = 80\ncheck = { http = '/', expect = '300-200', interval = '2h' }\n",
        "line 13: service b: highest expected status 200 is out of range: 300 to 599\n\
         line 13: service b: interval 2h is out of range: 10ms to 1h",
    );
}

#[test]
fn services_and_backends_that_can_not_be_together_are_refused() {
    refuses(
        r#"[service.b]
vip = "10.200.0.1"
port = 80
[service.c]
vip = "10.0.0.11"
port = 80
members = ["backend3", "b1", "b1", "backend-4"]
[service.d]
vip = "fd00:200::1"
port = 80
members = ["b2"]
[service.e]
vip = "224.0.0.1"
port = 80
slots = 0
[backend.backend4]
address = "10.0.0.4"
[backend.b4]
address = ["10.0.0.12", "fd00::12", "10.0.0.14"]
[backend.b5]
address = ["127.0.0.1", "::1"]
[backend.b6]
address = "10.0.0.16"
mac = "ff:ff:ff:ff:ff:ff""#,
        r#"line 11: service b has the address 10.200.0.1:80/tcp of service web
line 14: 10.0.0.11 is the VIP of service c and the address of backend b1
line 16: there is no backend backend3: did you mean "backend4"?
line 16: backend b1 is a member of service c already
line 16: there is no backend backend-4: did you mean "backend4"?
line 20: service d has an IPv6 VIP, but backend b2 has no IPv6 address: give it one (or its `mac`, and the service no check)
line 22: service e: 224.0.0.1 is not an address that a VIP can have
line 24: service e: slots 0 is out of range: 1 to 262139
line 28: backend b4 has the address 10.0.0.12 of backend b2
line 28: backend b4: 10.0.0.14 is its second IPv4 address: it has one of each family at most
line 30: backend b5: 127.0.0.1 is not the address of one machine
line 30: backend b5: ::1 is not the address of one machine
line 33: backend b6: the MAC ff:ff:ff:ff:ff:ff is not that of one NIC"#,
    );
}

#[test]
fn what_refers_to_a_bad_backend_is_not_blamed_for_it() {
    refuses(
        r#"[service.b]
vip = "10.200.0.2"
port = 80
members = ["b3", "b4"]
[backend.b3]
address = "10.0.0"
[backend.b4]
address = "10.0.0.14"
mac = "no""#,
        r#"line 15: backend b3: address: "10.0.0" is no IP address
line 18: backend b4: mac: "no" is no MAC address, like 02:00:00:00:00:01"#,
    );
}

#[test]
fn a_bad_address_of_a_service_does_not_hide_what_else_is_wrong_with_it() {
    refuses(
        r#"[service.b]
vip = "fd00:200::"
port = 0
members = ["b2", "b9"]
[service.c]
vip = "10.200.0.1"
port = 80
members = ["b8"]
[service.d]
vip = "10.200.0"
port = 80
members = ["b1", "b7"]"#,
        r#"line 12: service b: port 0 is out of range: 1 to 65535
line 13: service b has an IPv6 VIP, but backend b2 has no IPv6 address: give it one (or its `mac`, and the service no check)
line 13: there is no backend b9
line 15: service c has the address 10.200.0.1:80/tcp of service web
line 17: there is no backend b8
line 19: service d: vip: "10.200.0" is no IP address
line 21: there is no backend b7"#,
    );
}

#[test]
fn what_is_stated_twice_is_refused() {
    refuses(
        "[service.b]\nvip = '10.200.0.2'\nport = 80\n[backend.b3]\naddress = '10.0.0.13'\naddress = '10.0.0.14'\n\
         [service.b] # again\nvip = '10.200.0.3'\nport = 80\n",
        "line 15: \"address\" is stated a second time\nline 16: [service.b] is stated a second time",
    );
}

#[test]
fn what_is_no_toml_is_refused_with_its_line() {
    refuses("[service.b\nvip = '10.200.0.2'\n", "line 10: unclosed table, expected `]`");
    refuses(
        "[service.b]\nvip = 10.200.0.2\nport = 80\nmembers = ['b1'\n",
        "line 11: invalid float, expected nothing (a text needs quotes, like \"eth0\")\n\
         line 13: unclosed array, expected `]`",
    );
    refuses_file(
        "interfaces = eth0\nseed = 00112233445566778899aabbccddeeff",
        "line 1: string values must be quoted, expected literal string (a text needs quotes, like \"eth0\")\n\
         line 2: unexpected leading zero, expected nothing (a text needs quotes, like \"eth0\")",
    );
    let problems = parse("interfaces = ['eth0']\nmode = auto\n").expect_err("no TOML");
    let columns: Vec<_> = problems.iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(columns, [(2, 8)]);
}

proptest::proptest! {
    #[test]
    fn every_text_gets_an_answer(text in "[\\[\\]{}a-z.=\"'#0-9:, \n]{0,200}") {
        if let Err(problems) = parse(&text) {
            let lines = text.split('\n').count();
            proptest::prop_assert!(problems.iter().all(|problem| problem.line <= lines && !problem.message.is_empty()));
        }
    }
}
