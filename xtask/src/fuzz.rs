//! `cargo xtask fuzz`: builds the fuzzer, gives it the packet cases to start from, and tells what it found. What it
//! looks for is in the package `vip-fuzz`; this file knows the flags of compiler and libFuzzer.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    lab, setup,
    shell::{self, say},
};

/// What makes the target tell libFuzzer where it has been, as `cargo fuzz` does it, on a stable compiler.
const COVERAGE: [&str; 6] = [
    "-Dwarnings",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// How long is looked unless something else is asked for.
pub(crate) const SECONDS: u32 = 60;
/// How many inputs are tried at most until a planted mistake is found: a number and no time, so that a busy machine finds
/// it as well, only later.
const PLANTED_RUNS: u32 = 10_000_000;
/// What the choices for a planted mistake start from: the same each time.
const PLANTED_SEED: u32 = 1;
/// Bytes of the longest input: some tables, and a few frames.
const LONGEST: u32 = 1024;
/// Seconds after which one input counts as a failure.
const SLOWEST: u32 = 5;
/// How much of what libFuzzer says is shown where it fails, in lines.
const LAST_LINES: usize = 60;
/// What nobody reads: that it goes on, and the input in other words.
const NOISE: [&str; 5] = ["#", "0x", "\\", "Base64:", "artifact_prefix="];
const EXAMPLES: &str = "Examples:
  cargo xtask fuzz --seconds 600
  cargo xtask fuzz --planted
  cargo xtask fuzz --repeat target/fuzz/found/crash-*";
/// Makes the target plant its mistake.
const PLANTED: &str = "VIP_FUZZ_PLANTED";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// How long to look
    #[arg(long, default_value_t = SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Plant a mistake in the decision, and fail unless it is found
    #[arg(long, conflicts_with_all = ["repeat", "seconds"])]
    planted: bool,
    /// Look for nothing: tell what the frames of these inputs get, given as files or in hex
    #[arg(long, value_name = "INPUT", num_args = 1.., conflicts_with = "seconds")]
    repeat: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.repeat.is_empty() {
        let mut command = shell::cargo();
        command.args(["run", "--quiet", "--locked", "--package", "vip-fuzz", "--"]).args(&arguments.repeat);
        return shell::become_program(&mut command);
    }
    let fuzzer = Fuzzer::build()?;
    if arguments.planted { fuzzer.find_planted() } else { fuzzer.look(arguments.seconds) }
}

/// The built fuzzer and its directories.
pub(crate) struct Fuzzer {
    program: PathBuf,
    /// Holds `seeds`, `corpus` and `found`.
    dir: PathBuf,
}

impl Fuzzer {
    /// Builds it, and writes the seeds anew.
    pub(crate) fn build() -> Result<Self> {
        setup::ensure(setup::Need::Everything)?;
        lab::build_binaries()?;
        let host = host()?;
        let mut command = shell::cargo();
        command.args([
            "rustc",
            "--locked",
            "--profile",
            "fuzz",
            "--package",
            "vip-fuzz",
            "--bin",
            "vip-fuzz",
        ]);
        // With a target named, the flags are not for build scripts and macros; and only the last crate, with the
        // decision in it, is what is covered.
        command.args(["--target", &host, "--"]).args(COVERAGE);
        command.env("CARGO_ENCODED_RUSTFLAGS", "--cfg=fuzzing").env_remove("RUSTFLAGS");
        shell::run(&mut command)?;
        let target = shell::target_dir()?;
        let fuzzer = Self { program: target.join(host).join("fuzz/vip-fuzz"), dir: target.join("fuzz") };
        let seeds = fuzzer.dir("seeds", true)?;
        shell::run(Command::new(target.join("debug/corpus")).arg(seeds))?;
        Ok(fuzzer)
    }

    /// Looks for an input that breaks a property, and fails if there is one.
    pub(crate) fn look(&self, seconds: u32) -> Result<()> {
        let (corpus, found) = (self.dir("corpus", false)?, self.dir("found", false)?);
        say(format!("looking for inputs that break a property, for {seconds} s"));
        let outcome = self.run(&[format!("-max_total_time={seconds}")], &corpus, &found, false)?;
        let Some(input) = &outcome.found else {
            if !outcome.success {
                bail!("the fuzzer failed:\n{}", outcome.last_lines());
            }
            shell::print(&format!("fuzzing: nothing found in {}", outcome.figures));
            return Ok(());
        };
        let bytes = fs::read(input).with_context(|| format!("read {}", input.display()))?;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        bail!(
            "{}\nfuzzing: an input was found in {}\ninput {hex}\nsaved as {}; it is repeated by\n  cargo xtask fuzz --repeat {hex}",
            outcome.last_lines(),
            outcome.figures,
            input.display(),
        )
    }

    /// Plants a mistake, and fails unless it is found.
    pub(crate) fn find_planted(&self) -> Result<()> {
        let (corpus, found) = (self.dir("planted/corpus", true)?, self.dir("planted/found", true)?);
        let started = Instant::now();
        say(format!("looking for a planted mistake, in at most {PLANTED_RUNS} inputs"));
        let bound = [format!("-runs={PLANTED_RUNS}"), format!("-seed={PLANTED_SEED}")];
        let outcome = self.run(&bound, &corpus, &found, true)?;
        if outcome.found.is_none() {
            bail!("{}\nfuzzing: the planted mistake was not found", outcome.last_lines());
        }
        let seconds = started.elapsed().as_secs_f32();
        shell::print(&format!(
            "fuzzing: the planted mistake was found in {seconds:.1} s, {}",
            outcome.figures
        ));
        Ok(())
    }

    /// A directory for itself; emptied if it is to be `fresh`.
    fn dir(&self, name: &str, fresh: bool) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        if fresh && dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        Ok(dir)
    }

    fn run(&self, bound: &[String], corpus: &Path, found: &Path, planted: bool) -> Result<Outcome> {
        let mut command = Command::new(&self.program);
        command.args(bound).args([
            format!("-max_len={LONGEST}"),
            format!("-timeout={SLOWEST}"),
            format!("-artifact_prefix={}/", found.display()),
            // What a comparison lacked is progress too: most of a header is one.
            "-use_value_profile=1".into(),
            "-print_final_stats=1".into(),
        ]);
        command.arg(corpus).arg(self.dir.join("seeds")).stderr(Stdio::piped());
        if planted {
            command.env(PLANTED, "1");
        }
        let mut child = command.spawn().with_context(|| format!("run {}", self.program.display()))?;
        let mut outcome = Outcome::default();
        let stderr = child.stderr.take().context("read from the fuzzer")?;
        for line in BufReader::new(stderr).split(b'\n') {
            outcome.hear(&String::from_utf8_lossy(&line.context("read from the fuzzer")?));
        }
        outcome.success = child.wait().context("wait for the fuzzer")?.success();
        Ok(outcome)
    }
}

/// What libFuzzer told.
#[derive(Default, Debug)]
struct Outcome {
    success: bool,
    found: Option<PathBuf>,
    figures: Figures,
    lines: VecDeque<String>,
}

impl Outcome {
    fn hear(&mut self, line: &str) {
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.found = Some(path.trim().into());
        }
        self.figures.hear(line);
        if NOISE.iter().any(|noise| line.starts_with(noise)) {
            return;
        }
        if self.lines.len() == LAST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    fn last_lines(&self) -> String {
        self.lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// How far it came.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Figures {
    executions: u64,
    per_second: u64,
    edges: u64,
    features: u64,
    inputs: u64,
}

impl Figures {
    /// Reads a line such as `#8388608 DONE cov: 842 ft: 3210 corp: 512/61Kb lim: 4096 exec/s: 139810 rss: 61Mb`.
    fn hear(&mut self, line: &str) {
        let Some(executions) = line.strip_prefix('#').and_then(number) else { return };
        self.executions = executions;
        for (name, figure) in [
            ("cov: ", &mut self.edges),
            ("ft: ", &mut self.features),
            ("corp: ", &mut self.inputs),
            ("exec/s: ", &mut self.per_second),
        ] {
            let told = line.split_once(name).and_then(|(_, rest)| number(rest));
            *figure = told.unwrap_or(*figure);
        }
    }
}

/// The number that a text starts with.
fn number(text: &str) -> Option<u64> {
    let digits = text.split(|other: char| !other.is_ascii_digit()).next()?;
    digits.parse().ok()
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { executions, per_second, edges, features, inputs } = self;
        write!(f, "{executions} executions ({per_second} a second): ")?;
        write!(f, "{edges} edges and {features} features covered by {inputs} inputs")
    }
}

/// What the compiler calls this machine.
fn host() -> Result<String> {
    let output =
        Command::new("rustc").arg("-vV").current_dir(shell::workspace()).output().context("run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_prints_is_read() {
        let mut outcome = Outcome::default();
        outcome.hear("INFO: seed corpus: files: 512");
        outcome.hear("#8388608\tDONE   cov: 842 ft: 3210 corp: 512/61Kb lim: 4096 exec/s: 139810 rss: 61Mb");
        outcome.hear("stat::number_of_executed_units: 8388608");
        let figures =
            Figures { executions: 8_388_608, per_second: 139_810, edges: 842, features: 3210, inputs: 512 };
        assert_eq!((outcome.figures, &outcome.found), (figures, &None));
        outcome.hear("artifact_prefix='found/'; Test unit written to found/crash-0123");
        assert_eq!(outcome.found, Some("found/crash-0123".into()));
    }
}
