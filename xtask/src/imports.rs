//! Imports in `vip-userspace` point one way, and its pure modules name nothing of the outer world. The tables are
//! the rule; the rest only compares. ARCHITECTURE.md says why.

use crate::source::{Named, Source};

/// A module may import from modules of a lower level. The longest name counts: `control::protocol` is not `control`.
const LEVELS: [(&str, u8); 18] = [
    ("main", 5),
    ("lib", 5),
    ("cli", 4),
    ("render", 4),
    ("control", 4),
    ("controller", 4),
    ("doctor", 4),
    ("health", 3),
    ("net", 3),
    ("dataplane", 3),
    ("config", 2),
    ("control::protocol", 2),
    ("plan", 2),
    ("ring", 2),
    ("model", 1),
    ("places", 1),
    ("ring::schedulers", 0),
    ("ring::key", 0),
];

/// Who may import from whom on the same level; never both ways.
const BESIDE: [(&str, &str); 11] = [
    ("cli", "control"),
    ("cli", "controller"),
    ("cli", "doctor"),
    ("cli", "render"),
    ("doctor", "control"),
    ("doctor", "controller"),
    ("render", "doctor"),
    ("controller", "control"),
    ("config", "ring"),
    ("plan", "ring"),
    ("ring::schedulers", "ring::key"),
];

/// Modules where time is an argument, and nothing is read, sent or started.
const PURE: [&str; 13] = [
    "config",
    "control::protocol",
    "doctor::facts",
    "doctor::finding",
    "doctor::judge",
    "doctor::load",
    "doctor::script",
    "health::schedule",
    "health::state",
    "model",
    "places",
    "plan",
    "ring",
];

/// What a pure module names nothing of. Addresses, such as `std::net::IpAddr`, are values, and so is a `Duration`.
const IMPURE: [&str; 18] = [
    "aya",
    "aya_obj",
    "libc",
    "nix",
    "rustix",
    "socket2",
    "tokio",
    "std::env",
    "std::fs",
    "std::io",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
];

/// Reading a clock, however the type was imported: words that follow each other but for punctuation.
const CLOCKS: [[&str; 2]; 2] = [["Instant", "now"], ["SystemTime", "now"]];

/// Each import that points the wrong way, and each impure name in a pure module.
pub(crate) fn violations(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    let tests: Vec<String> = sources.iter().flat_map(test_modules).collect();
    for source in sources {
        let module = module_of(&source.path);
        if tests.iter().any(|test| is_below(&module, test)) {
            continue;
        }
        for name in source.names() {
            let wrong = match inside(&name, &module) {
                Some(target) => wrong_way(&module, &target),
                None => impure(&module, &name),
            };
            if let Some(reason) = wrong {
                found.push(format!("{}:{}: {}: {reason}", source.path, name.line, name.text()));
            }
        }
    }
    found
}

/// The modules that a file declares for tests alone, and has in files of their own.
fn test_modules(source: &Source) -> impl Iterator<Item = String> {
    let module = module_of(&source.path);
    let above = if matches!(module.as_str(), "main" | "lib") { String::new() } else { module + "::" };
    source.test_modules.iter().map(move |name| format!("{above}{name}"))
}

/// The module that a file is, such as `health::state`; `main` and `lib` are the two roots.
fn module_of(path: &str) -> String {
    let path = path.split_once("/src/").map_or(path, |(_, path)| path);
    path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::")
}

/// Where a name points inside the crate, from its root; `None` if it points outside, or stays in its own file.
fn inside(name: &Named, module: &str) -> Option<String> {
    let mut above: Vec<&str> =
        if matches!(module, "main" | "lib") { Vec::new() } else { module.split("::").collect() };
    let mut words = name.words.iter().map(String::as_str).peekable();
    match words.next()? {
        "crate" | "vip_userspace" => above.clear(),
        "self" => {}
        "super" => {
            above.pop();
            while words.next_if_eq(&"super").is_some() {
                above.pop();
            }
        }
        _ => return None,
    }
    Some(above.into_iter().chain(words).collect::<Vec<_>>().join("::"))
}

fn wrong_way(module: &str, target: &str) -> Option<String> {
    let Some((from, from_level)) = level(module) else {
        return Some(format!("module {module} has no level; give it one in xtask/src/imports.rs"));
    };
    let Some((to, to_level)) = level(target) else {
        return (from_level < 5).then(|| "the root of the crate is above every module".into());
    };
    let allowed = to_level < from_level || from == to || BESIDE.contains(&(from, to));
    (!allowed).then(|| format!("{from} may not import from {to}"))
}

/// The entry of [`LEVELS`] that a path is in.
fn level(path: &str) -> Option<(&'static str, u8)> {
    let entries = LEVELS.into_iter().filter(|(name, _)| is_below(path, name));
    entries.max_by_key(|(name, _)| name.len())
}

/// Whether a path is a prefix's own, or below it, word by word.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn impure(module: &str, name: &Named) -> Option<String> {
    let pure = PURE.into_iter().find(|pure| is_below(module, pure))?;
    let text = name.text();
    let is_clock = CLOCKS.iter().any(|clock| name.words.ends_with(&clock.map(String::from)));
    let glob = text.strip_suffix("::*");
    let outer =
        IMPURE.iter().any(|outer| is_below(&text, outer) || glob.is_some_and(|glob| is_below(outer, glob)));
    (is_clock || outer).then(|| format!("{pure} is pure"))
}

#[cfg(test)]
mod tests;
