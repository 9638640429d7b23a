//! The command `vip`: it reads the command line, has it carried out, prints the result, and ends with the right exit
//! code. It decides nothing else.

use std::{
    env,
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use anstream::{AutoStream, stream::RawStream};
use clap::{ColorChoice, Parser};
use serde_json::json;
use vip_userspace::control::{Code, Refused};

use self::cli::{Cli, Output, Progress};

mod cli;
mod render;

/// Refused, by the controller or by the machine.
const REFUSED: u8 = 1;
/// The command line is none.
const USAGE: u8 = 2;
/// There is no controller.
const NO_CONTROLLER: u8 = 3;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let screen = Screen { json: cli.global.json, color: cli.global.color };
    start_log(cli.global.color);
    // The controller's loop has the first thread to itself: a probe that is under way while it makes rings is not late for that.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let mut meter = Meter::new(&screen);
            runtime.block_on(cli::carry_out(cli, &mut |progress| meter.show(progress)))
        }
        Err(error) => Err(Refused::new(Code::Failed, format!("start: {error}"))),
    };
    let mut exit = ExitCode::SUCCESS;
    let but = match result {
        Ok(Some(output)) => {
            exit = ExitCode::from(output.exit);
            screen.result(output)
        }
        Ok(None) => None,
        Err(refused) => Some(refused),
    };
    let Some(refused) = but else { return exit };
    screen.refusal(&refused);
    ExitCode::from(match refused.code {
        Code::Usage => USAGE,
        Code::NoController => NO_CONTROLLER,
        _ => REFUSED,
    })
}

/// Lines of a running controller go to stderr, each with its time.
fn start_log(color: ColorChoice) {
    let style = match color {
        ColorChoice::Auto => env_logger::WriteStyle::Auto,
        ColorChoice::Always => env_logger::WriteStyle::Always,
        ColorChoice::Never => env_logger::WriteStyle::Never,
    };
    env_logger::Builder::new()
        .filter_module("vip_userspace", log::LevelFilter::Info)
        .format_target(false)
        .write_style(style)
        .init();
}

/// Help and version as well: clap takes them for errors.
fn usage(error: &clap::Error) -> ExitCode {
    // Read by hand: there is no command line that could say whether JSON is wanted.
    if error.use_stderr() && env::args_os().any(|word| word == "--json") {
        let screen = Screen { json: true, color: ColorChoice::Never };
        let text = error.to_string();
        let message = text.strip_prefix("error: ").unwrap_or(&text).trim();
        screen.refusal(&Refused::new(Code::Usage, message));
    } else {
        let _ = error.print();
    }
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// How things are printed. Somebody who stops listening is no error.
struct Screen {
    json: bool,
    color: ColorChoice,
}

impl Screen {
    /// Prints a result; returns what went wrong nevertheless.
    fn result(&self, output: Output) -> Option<Refused> {
        let mut out = self.stream(io::stdout());
        let text = if self.json { format!("{:#}\n", output.json) } else { output.text };
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        output.but
    }

    fn refusal(&self, refused: &Refused) {
        let text =
            if self.json { format!("{}\n", json!({ "error": refused })) } else { render::refusal(refused) };
        let _ = self.stream(io::stderr()).write_all(text.as_bytes());
    }

    fn stream<S: RawStream>(&self, stream: S) -> AutoStream<S> {
        // Automatic: on a terminal, unless NO_COLOR (no-color.org) or TERM=dumb speak against it.
        AutoStream::new(
            stream,
            match self.color {
                ColorChoice::Auto => anstream::ColorChoice::Auto,
                ColorChoice::Always => anstream::ColorChoice::Always,
                ColorChoice::Never => anstream::ColorChoice::Never,
            },
        )
    }
}

/// How long nothing is printed of what changes by time alone, where it can't be written over.
const QUIET: Duration = Duration::from_secs(10);

/// Shows progress: on a terminal one line that is written over, otherwise a line for each change and now and then one, in
/// JSON if that is wanted.
struct Meter<'a> {
    screen: &'a Screen,
    /// The line can be written over.
    is_live: bool,
    /// When a line was printed last.
    last: Option<Instant>,
}

impl<'a> Meter<'a> {
    fn new(screen: &'a Screen) -> Self {
        Self { screen, is_live: !screen.json && io::stdout().is_terminal(), last: None }
    }

    /// False if nobody reads what is printed.
    fn show(&mut self, progress: &Progress) -> bool {
        let quiet = self.last.is_some_and(|last| last.elapsed() < QUIET);
        if !self.is_live && quiet && !progress.is_news {
            return true;
        }
        let text = &progress.text;
        let text = match (self.screen.json, self.is_live, progress.is_last) {
            (true, ..) => format!("{}\n", progress.json),
            (false, true, false) => format!("\r\u{1b}[2K{text}"),
            (false, true, true) if text.is_empty() => "\n".to_owned(),
            (false, true, true) => format!("\r\u{1b}[2K{text}\n"),
            (false, false, _) if text.is_empty() => return true,
            (false, false, _) => format!("{text}\n"),
        };
        self.last = Some(Instant::now());
        let mut out = io::stdout();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
    }
}
