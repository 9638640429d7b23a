//! How the BPF programs are compiled: every pinned version, which of the two ways to a BPF toolchain this machine
//! has, what it lacks and which command brings it. Only std, because `vip-userspace/build.rs` includes this file
//! as well; it installs nothing and prints nothing (`setup.rs` does).
//!
//! The two ways are a pinned nightly of rustup that compiles `core` from source, and Debian's `rustc-web`, which
//! comes with a ready `core` for BPF. Both link with the same `bpf-linker`. Compiler and linker exchange LLVM
//! bitcode, so their LLVM must be of one major version: all of these pins move together.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The nightly of the rustup way; its LLVM is [`LLVM`].
pub(crate) const NIGHTLY: &str = "nightly-2026-05-20";
/// The oldest compiler of Debian's way, as (major, minor).
pub(crate) const RUSTC: (u32, u32) = (1, 96);
/// The major version of LLVM in both compilers and in the linker.
pub(crate) const LLVM: u32 = 22;
/// The version of `bpf-linker`.
pub(crate) const LINKER: &str = "0.13.0";
/// Debian's package of the compiler; the newest version in a release is what apt installs.
pub(crate) const COMPILER_PACKAGE: &str = "rustc-web";
/// Debian's packages of the compiler and of `core` for BPF.
pub(crate) const COMPILER_PACKAGES: [&str; 2] = [COMPILER_PACKAGE, "libstd-rust-web-dev-bpf"];
/// Debian's packages that `bpf-linker` is compiled with.
pub(crate) const LLVM_PACKAGES: [&str; 4] = ["llvm-22-dev", "libpolly-22-dev", "libzstd-dev", "zlib1g-dev"];
/// What the tests, the lab and the fuzzer's build run: the program, and Debian's package of it.
pub(crate) const PROGRAMS: [(&str, &str); 10] = [
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("ethtool", "ethtool"),
    ("nginx", "nginx-light"),
    ("curl", "curl"),
    ("c++", "g++"),
    ("openssl", "openssl"),
    ("dnsmasq", "dnsmasq-base"),
    ("ping", "iputils-ping"),
    ("tcpdump", "tcpdump"),
];
/// What the tests have of PyPI, with the versions: schemathesis tries the control API, grpcio has a gRPC server.
pub(crate) const PYTHON_PACKAGES: [(&str, &str); 2] = [("schemathesis", "4.32.5"), ("grpcio", "1.85.3")];
/// The environment variable that picks a way: `debian` or `rustup`.
pub(crate) const OVERRIDE: &str = "VIP_BPF_TOOLCHAIN";

/// Where Debian puts its compiler. Never looked up by PATH, where rustup's proxy often comes first.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CORE: &str = "/usr/lib/rustlib";

/// What apt knows of its archives.
const APT_LISTS: &str = "/var/lib/apt/lists";

/// A way to a BPF toolchain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// Debian's `rustc-web` and its ready `core`.
    Debian,
    /// rustup's nightly [`NIGHTLY`], with `core` compiled from source.
    Rustup,
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Debian => "debian",
            Self::Rustup => "rustup",
        })
    }
}

/// A compiler's version and that of the LLVM in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Compiler {
    /// Major and minor version.
    pub(crate) version: (u32, u32),
    /// Major version.
    pub(crate) llvm: u32,
}

/// What a way needs and this machine lacks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Missing {
    /// Debian's compiler; with what is there instead, if anything.
    Rustc(Option<Compiler>),
    /// Debian's `core` for BPF.
    Core,
    /// rustup itself.
    Rustup,
    /// The nightly, or its source of `core`.
    Nightly,
    /// LLVM's development files, which `bpf-linker` is compiled with.
    Llvm,
    /// `bpf-linker`; with the version that is there instead, if any.
    Linker(Option<String>),
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = RUSTC;
        match self {
            Self::Rustc(None) => {
                write!(formatter, "{DEBIAN_RUSTC} {major}.{minor} (package {COMPILER_PACKAGE})")
            }
            Self::Rustc(Some(found)) => write!(
                formatter,
                "{DEBIAN_RUSTC} {major}.{minor} or newer with LLVM {LLVM} (found {}.{} with LLVM {})",
                found.version.0, found.version.1, found.llvm
            ),
            Self::Core => write!(formatter, "core for BPF (package {})", COMPILER_PACKAGES[1]),
            Self::Rustup => write!(formatter, "rustup"),
            Self::Nightly => write!(formatter, "rustup's toolchain {NIGHTLY} with rust-src"),
            Self::Llvm => {
                write!(formatter, "the development files of LLVM {LLVM}, to compile bpf-linker with")
            }
            Self::Linker(None) => write!(formatter, "bpf-linker {LINKER}"),
            Self::Linker(Some(found)) => write!(formatter, "bpf-linker {LINKER} (found {found})"),
        }
    }
}

/// What was found of both ways.
#[derive(Clone, Default, Debug)]
pub(crate) struct Machine {
    /// The value of [`OVERRIDE`].
    pub(crate) wanted: Option<String>,
    /// The version of [`COMPILER_PACKAGE`] that apt would install.
    pub(crate) offered: Option<(u32, u32)>,
    /// apt is there, but its lists are empty, as on a fresh machine: what it would install is not known yet.
    pub(crate) unlisted: bool,
    /// Debian's compiler, or another at its place.
    pub(crate) rustc: Option<Compiler>,
    /// Debian's `core` for BPF is there.
    pub(crate) core: bool,
    /// The `rustup` program is there.
    pub(crate) rustup: bool,
    /// The directory of [`NIGHTLY`], if it has the source of `core`.
    pub(crate) nightly: Option<PathBuf>,
    /// The `LLVM_PREFIX` for compiling `bpf-linker`.
    pub(crate) llvm: Option<PathBuf>,
    /// The `bpf-linker` of the pinned version.
    pub(crate) linker: Option<PathBuf>,
    /// The version of another `bpf-linker`.
    pub(crate) other_linker: Option<String>,
}

impl Machine {
    /// Looks at this machine. Takes some 10 ms; apt is asked only while neither way is complete.
    pub(crate) fn look() -> Self {
        let mut machine = Self {
            wanted: env::var(OVERRIDE).ok().filter(|wanted| !wanted.is_empty()),
            rustc: output(Path::new(DEBIAN_RUSTC), &["-vV"]).and_then(|text| compiler(&text)),
            core: has_core(&Path::new(DEBIAN_CORE).join(bpf_target()).join("lib")),
            rustup: program("rustup").is_some(),
            nightly: nightly(),
            llvm: llvm_prefix(),
            ..Self::default()
        };
        for (path, version) in linkers() {
            match version {
                version if version == LINKER => machine.linker = machine.linker.take().or(Some(path)),
                version => machine.other_linker = Some(version),
            }
        }
        if !machine.missing(Way::Debian).is_empty() && !machine.missing(Way::Rustup).is_empty() {
            machine.offered = offered();
            machine.unlisted = machine.offered.is_none() && unlisted();
        }
        machine
    }

    /// The way to take: the one asked for, else one that is complete, else Debian's where apt has it, else rustup's.
    ///
    /// # Errors
    /// The environment asks for a way that does not exist.
    pub(crate) fn choose(&self) -> Result<Way, String> {
        match self.wanted.as_deref() {
            Some("debian") => return Ok(Way::Debian),
            Some("rustup") => return Ok(Way::Rustup),
            Some(other) => return Err(format!("{OVERRIDE}={other}: say `debian` or `rustup`")),
            None => {}
        }
        let complete = [Way::Debian, Way::Rustup].into_iter().find(|way| self.missing(*way).is_empty());
        let newer_llvm = self.rustc.is_some_and(|rustc| rustc.version >= RUSTC && rustc.llvm != LLVM);
        let debian = (self.offered() || self.unlisted) && !newer_llvm;
        Ok(complete.unwrap_or(if debian { Way::Debian } else { Way::Rustup }))
    }

    /// Whether apt would install a compiler that is new enough.
    pub(crate) fn offered(&self) -> bool {
        self.offered.is_some_and(|version| version >= RUSTC)
    }

    /// What `way` still needs, in the order of installation.
    pub(crate) fn missing(&self, way: Way) -> Vec<Missing> {
        let mut missing = Vec::new();
        match way {
            Way::Debian => {
                if !self.rustc.is_some_and(|rustc| rustc.version >= RUSTC && rustc.llvm == LLVM) {
                    missing.push(Missing::Rustc(self.rustc));
                }
                if !self.core {
                    missing.push(Missing::Core);
                }
            }
            Way::Rustup => {
                if !self.rustup && self.nightly.is_none() {
                    missing.push(Missing::Rustup);
                }
                if self.nightly.is_none() {
                    missing.push(Missing::Nightly);
                }
            }
        }
        if self.linker.is_none() {
            if self.llvm.is_none() {
                missing.push(Missing::Llvm);
            }
            missing.push(Missing::Linker(self.other_linker.clone()));
        }
        missing
    }

    /// The way to take, if it is complete.
    ///
    /// # Errors
    /// One line that names what is missing, and the command that installs it.
    pub(crate) fn ready(&self) -> Result<Way, String> {
        let way = self.choose()?;
        match self.missing(way).as_slice() {
            [] => Ok(way),
            missing => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                Err(format!(
                    "the BPF toolchain ({way}) lacks {}; install it with `cargo xtask setup`",
                    missing.join(", and ")
                ))
            }
        }
    }

    /// The `cargo` of `way` with everything BPF in its environment; the caller adds the verb and [`build_args`].
    ///
    /// `cargo` is the one to use where the way has none of its own, `arch` the host's, as in `CARGO_CFG_TARGET_ARCH`.
    /// Of the rustc flags, `lints` says what becomes of warnings.
    pub(crate) fn cargo(&self, way: Way, cargo: &Path, arch: &str, lints: &str) -> Command {
        let mut command = match (way, &self.nightly) {
            (Way::Rustup, Some(nightly)) => {
                let mut command = Command::new(nightly.join("bin/cargo"));
                command.env("RUSTC", nightly.join("bin/rustc"));
                command
            }
            _ => {
                let mut command = Command::new(cargo);
                // Inline assembly for BPF is unstable; Debian builds this compiler for Firefox, the same way.
                command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
                command
            }
        };
        let linker = self.linker.as_deref().unwrap_or(Path::new("bpf-linker"));
        command.env("CARGO_ENCODED_RUSTFLAGS", rustflags(linker, arch, lints).join("\x1f"));
        // What an outer cargo, clippy, rust-analyzer or a user's settings would put between cargo and this compiler.
        for wrapper in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            command.env(wrapper, "");
        }
        for name in [
            "CARGO_BUILD_RUSTC",
            "RUSTDOC",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "CLIPPY_ARGS",
            "CARGO_PRIMARY_PACKAGE",
        ] {
            command.env_remove(name);
        }
        command
    }
}

/// The arguments after cargo's verb that compile the BPF programs, below the directory `target`.
pub(crate) fn build_args(way: Way, target: &Path) -> Vec<String> {
    let mut args = ["--release", "--locked", "--package", "vip-ebpf", "--bins", "--target", bpf_target()]
        .map(String::from)
        .to_vec();
    if way == Way::Rustup {
        args.extend(["-Z".into(), "build-std=core".into()]);
    }
    // Cargo locks its directories: sharing any with the cargo that waits for this one would be a deadlock.
    let target = target.display();
    args.extend(["--target-dir".into(), target.to_string()]);
    args.extend(["--config".into(), format!("build.build-dir='{target}'")]);
    args
}

/// The compiler's name of BPF, in the byte order of this machine.
pub(crate) const fn bpf_target() -> &'static str {
    if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" }
}

fn rustflags(linker: &Path, arch: &str, lints: &str) -> Vec<String> {
    let arch = if arch.starts_with("riscv64") { "riscv64" } else { arch };
    vec![
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".into(),
        // With unaligned loads of packets allowed, LLVM would also merge stores to its own stack into unaligned ones, which
        // the kernel's verifier refuses.
        "-Clink-arg=--llvm-args=-combiner-store-merging=false".into(),
        "-Cdebuginfo=2".into(),
        "-Clinker-plugin-lto".into(),
        // The newest instructions that Linux 6.1 knows.
        "-Ctarget-cpu=v3".into(),
        // BPF's interpreters and JITs load whole words from any address of a packet; without this each is eight loads.
        "-Ctarget-feature=+allows-misaligned-mem-access".into(),
        lints.into(),
        format!("--cfg=bpf_target_arch=\"{arch}\""),
    ]
}

/// Reads `rustc -vV`.
fn compiler(text: &str) -> Option<Compiler> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    Some(Compiler { version: version(field("release: ")?)?, llvm: version(field("LLVM version: ")?)?.0 })
}

/// Reads the first two numbers of a version, such as `1.96.0+dfsg1-1~deb12u2`, after Debian's epoch if there is one.
fn version(text: &str) -> Option<(u32, u32)> {
    let text = text.split_once(':').map_or(text, |(_, rest)| rest);
    let mut numbers = text.split(|other: char| !other.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Reads `apt-cache policy`.
fn candidate(text: &str) -> Option<(u32, u32)> {
    version(text.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?)
}

fn unlisted() -> bool {
    let is_list = |file: fs::DirEntry| file.file_name().to_string_lossy().contains("_Packages");
    program("apt-get").is_some() && !fs::read_dir(APT_LISTS).is_ok_and(|files| files.flatten().any(is_list))
}

fn offered() -> Option<(u32, u32)> {
    candidate(&output(&program("apt-cache")?, &["policy", COMPILER_PACKAGE])?)
}

fn has_core(dir: &Path) -> bool {
    let is_core = |name: &str| name.starts_with("libcore-") && name.ends_with(".rlib");
    fs::read_dir(dir)
        .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_str().is_some_and(is_core)))
}

fn nightly() -> Option<PathBuf> {
    let home = home("RUSTUP_HOME", ".rustup")?;
    let toolchains = fs::read_dir(home.join("toolchains")).ok()?;
    toolchains.flatten().map(|toolchain| toolchain.path()).find(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(NIGHTLY))
            && path.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file()
            && path.join("bin/cargo").is_file()
    })
}

/// LLVM as Debian, Ubuntu and apt.llvm.org install it, else the one that `LLVM_PREFIX` names.
fn llvm_prefix() -> Option<PathBuf> {
    let debian = PathBuf::from(format!("/usr/lib/llvm-{LLVM}"));
    [env::var_os("LLVM_PREFIX").map(PathBuf::from), Some(debian)]
        .into_iter()
        .flatten()
        .find(|prefix| ["lib64", "lib"].iter().any(|lib| prefix.join(lib).join("libLLVM.so").exists()))
}

/// Every `bpf-linker` and its version. Cargo's own directory comes first: Debian's cargo is not in it.
fn linkers() -> Vec<(PathBuf, String)> {
    let cargo = home("CARGO_HOME", ".cargo").map(|home| home.join("bin/bpf-linker"));
    let mut paths: Vec<PathBuf> = cargo.into_iter().chain(programs("bpf-linker")).collect();
    paths.dedup();
    paths
        .into_iter()
        .filter_map(|path| {
            let text = output(&path, &["--version"])?;
            Some((path, text.trim().strip_prefix("bpf-linker ")?.to_owned()))
        })
        .collect()
}

fn home(variable: &str, default: &str) -> Option<PathBuf> {
    let home = || env::home_dir().map(|home| home.join(default));
    env::var_os(variable).map(PathBuf::from).or_else(home)
}

/// Finds a program by PATH, or where the system's own are: a user's PATH often lacks `/usr/sbin`.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    programs(name).next()
}

fn programs(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let dirs: Vec<PathBuf> = env::split_paths(&path).chain(system).collect();
    let name = name.to_owned();
    dirs.into_iter().map(move |dir| dir.join(&name)).filter(|path| path.is_file())
}

/// What a command prints, if it succeeds.
fn output(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
#[path = "toolchain/tests.rs"]
mod tests;
