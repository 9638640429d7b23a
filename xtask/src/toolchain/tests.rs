//! Reading versions, choosing a way and naming what is missing; no test looks at the machine it runs on.

use super::*;

/// A machine with all of Debian's way.
fn debian() -> Machine {
    Machine {
        rustc: Some(Compiler { version: RUSTC, llvm: LLVM }),
        core: true,
        linker: Some("/somewhere/bpf-linker".into()),
        ..Machine::default()
    }
}

/// A machine with all of rustup's way.
fn rustup() -> Machine {
    Machine {
        rustup: true,
        nightly: Some("/toolchains/nightly".into()),
        linker: Some("/somewhere/bpf-linker".into()),
        ..Machine::default()
    }
}

#[test]
fn the_versions_of_a_compiler_and_its_llvm_are_read() {
    let text = "rustc 1.96.0 (abc 2026-05-01) (built from a source tarball)\nbinary: rustc\n\
                host: x86_64-unknown-linux-gnu\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
    assert_eq!(compiler(text), Some(Compiler { version: (1, 96), llvm: 22 }));
    assert_eq!(compiler("rustc 1.96.0\n"), None);
}

#[test]
fn the_version_of_a_package_is_read_after_its_epoch_and_before_its_revision() {
    assert_eq!(version("1.96.0+dfsg1-1~deb12u2"), Some((1, 96)));
    assert_eq!(version("1:22.1.8-1~deb12u1"), Some((22, 1)));
    assert_eq!(version("1.98.0-nightly"), Some((1, 98)));
    assert_eq!(version("(none)"), None);
}

#[test]
fn what_apt_would_install_is_its_candidate() {
    let text = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n";
    assert_eq!(candidate(text), Some((1, 96)));
    assert_eq!(candidate("rustc-web:\n  Installed: (none)\n  Candidate: (none)\n"), None);
    assert_eq!(candidate(""), None);
}

#[test]
fn a_complete_way_is_taken_and_debians_first() {
    assert_eq!(debian().ready(), Ok(Way::Debian));
    assert_eq!(rustup().ready(), Ok(Way::Rustup));
    let both = Machine { nightly: rustup().nightly, rustup: true, ..debian() };
    assert_eq!(both.ready(), Ok(Way::Debian));
    let asked = Machine { wanted: Some("rustup".into()), ..both };
    assert_eq!(asked.ready(), Ok(Way::Rustup));
}

#[test]
fn with_neither_way_complete_apt_decides() {
    let offers = |version| Machine { offered: version, ..Machine::default() };
    assert_eq!(offers(Some(RUSTC)).choose(), Ok(Way::Debian));
    assert_eq!(offers(Some((1, 85))).choose(), Ok(Way::Rustup));
    assert_eq!(offers(None).choose(), Ok(Way::Rustup));
    let fresh = Machine { unlisted: true, ..Machine::default() };
    assert_eq!(fresh.choose(), Ok(Way::Debian));
}

#[test]
fn a_compiler_with_another_llvm_than_the_linkers_is_no_way() {
    let newer = Compiler { version: (1, 99), llvm: LLVM + 1 };
    let machine = Machine { rustc: Some(newer), offered: Some(newer.version), ..debian() };
    assert_eq!(machine.choose(), Ok(Way::Rustup));
    assert_eq!(machine.missing(Way::Debian), [Missing::Rustc(Some(newer))]);
}

#[test]
fn an_unknown_way_is_refused_by_name() {
    let machine = Machine { wanted: Some("gentoo".into()), ..debian() };
    assert_eq!(machine.ready(), Err("VIP_BPF_TOOLCHAIN=gentoo: say `debian` or `rustup`".into()));
}

#[test]
fn a_missing_piece_is_named_with_the_command_that_installs_it() {
    let machine = Machine {
        wanted: Some("debian".into()),
        linker: None,
        other_linker: Some("0.9.14".into()),
        llvm: Some("/usr/lib/llvm".into()),
        ..debian()
    };
    let message = machine.ready().expect_err("the linker is missing");
    assert_eq!(
        message,
        format!(
            "the BPF toolchain (debian) lacks bpf-linker {LINKER} (found 0.9.14); \
             install it with `cargo xtask setup`"
        )
    );
}

#[test]
fn a_fresh_machine_lacks_everything_in_the_order_of_installation() {
    let fresh = Machine::default();
    let linker = [Missing::Llvm, Missing::Linker(None)];
    assert_eq!(fresh.missing(Way::Debian), [[Missing::Rustc(None), Missing::Core], linker.clone()].concat());
    assert_eq!(fresh.missing(Way::Rustup), [[Missing::Rustup, Missing::Nightly], linker].concat());
}

#[test]
fn only_the_way_without_a_ready_core_compiles_one() {
    let build_std = |way| build_args(way, Path::new("/target")).contains(&"build-std=core".to_owned());
    assert!(build_std(Way::Rustup));
    assert!(!build_std(Way::Debian));
}

#[test]
fn cargo_for_bpf_is_shielded_from_the_cargo_around_it() {
    let command = debian().cargo(Way::Debian, Path::new("/bin/cargo"), "x86_64", "-Awarnings");
    let variable = |name: &str| command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
    assert_eq!(variable("RUSTC").and_then(|value| value.to_str()), Some("/usr/bin/rustc"));
    assert_eq!(variable("RUSTC_WORKSPACE_WRAPPER").and_then(|value| value.to_str()), Some(""));
    let flags = variable("CARGO_ENCODED_RUSTFLAGS").and_then(|value| value.to_str()).unwrap_or_default();
    assert!(flags.split('\x1f').any(|flag| flag == "-Clinker=/somewhere/bpf-linker"), "{flags}");
    assert!(flags.split('\x1f').any(|flag| flag == "--cfg=bpf_target_arch=\"x86_64\""), "{flags}");
}
