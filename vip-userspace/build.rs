//! Compiles the BPF programs from source, so that a plain `cargo build` does everything. Which toolchain does it
//! is decided by `xtask/src/toolchain.rs`; nothing is installed here.

#![expect(clippy::print_stderr, reason = "cargo shows what a failed build script prints")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[expect(dead_code, reason = "the lists of packages are for `cargo xtask setup`")]
#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

use toolchain::{Machine, OVERRIDE, bpf_target, build_args};

/// The binaries of `vip-ebpf`, as `include_bytes_aligned!` finds them in `OUT_DIR`.
const OBJECTS: [&str; 3] = ["vip-director", "vip-tracer", "vip-measure"];
/// All that the objects are made from, seen from the workspace.
const SOURCES: [&str; 6] = [
    "vip-ebpf",
    "vip-common/Cargo.toml",
    "vip-common/src",
    "Cargo.toml",
    "Cargo.lock",
    "xtask/src/toolchain.rs",
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Toolchain(message)) => {
            // Cargo shows this line alone, and fails; a bad exit code would add all that was printed so far.
            println!("cargo::error={message}");
            ExitCode::SUCCESS
        }
        Err(Failure::Build(message)) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

enum Failure {
    /// One line: what is missing.
    Toolchain(String),
    /// What the compiler said.
    Build(String),
}

fn build() -> Result<(), Failure> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.parent().unwrap_or(package);
    let machine = Machine::look();
    let way = machine.ready().map_err(Failure::Toolchain)?;
    let out = PathBuf::from(variable("OUT_DIR"));
    // Beside the outer cargo's own directories, so that debug, release, clippy and doc share what is compiled.
    let target = out.ancestors().nth(4).unwrap_or(&out).join("bpf");
    let output = machine
        .cargo(way, Path::new(&variable("CARGO")), &variable("CARGO_CFG_TARGET_ARCH"), "-Awarnings")
        .current_dir(workspace)
        .arg("build")
        .args(build_args(way, &target))
        .output()
        .map_err(|error| Failure::Build(format!("run cargo for BPF: {error}")))?;
    // Warnings are for `cargo xtask lint`: rustc has one about the unstable target feature that nothing turns off.
    if !output.status.success() {
        return Err(Failure::Build(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    for object in OBJECTS {
        let built = target.join(bpf_target()).join("release").join(object);
        fs::copy(&built, out.join(object))
            .map_err(|error| Failure::Build(format!("copy {}: {error}", built.display())))?;
    }
    // Said last: a build script that fails runs again anyway, and cargo would print all this above the error.
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    let sources = SOURCES.iter().map(|source| workspace.join(source));
    for file in sources.chain(machine.linker) {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    Ok(())
}

/// A variable that cargo sets for every build script.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
