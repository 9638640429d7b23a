//! What is said of the control socket is read, or refused with its line.

use super::{bad::refuses, *};

#[test]
fn without_a_word_the_controllers_own_group_alone_may_use_the_socket() {
    assert_eq!(parse("interfaces = ['eth0']").expect("a good configuration").access, Access::default());
    let open = parse("interfaces = ['eth0']\n[control]\nothers = 'read'").expect("a good configuration");
    assert_eq!(open.access, Access { group: None, others: Others::Read });
}

#[test]
fn who_may_use_the_control_socket_is_said_by_known_words() {
    refuses(
        "[control]\nothers = 'write'\ngroups = 'vip'",
        r#"line 11: control: others: "write" is no right of others: none or read
line 12: control: unknown key "groups": did you mean "group"?"#,
    );
    refuses("control = 'vip'", "line 10: control is a table, not a string");
    refuses("[control]\ngroup = ''", r#"line 11: control: group is the name of a group, like "vip", not """#);
}
