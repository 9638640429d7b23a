//! `vip reload`, `vip diff` and `vip save`: their arguments, and what they do with files.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;
use vip_userspace::control::{Code, Refused, client::Client, protocol::DiffRequest};

use super::Output;
use crate::render;

/// Exit code of `vip diff` where there are differences.
pub(crate) const DIFFERS: u8 = 4;

/// How the configuration is read again.
#[derive(Args, Debug)]
pub(crate) struct Reload {
    /// Also what moves flows to other backends, and breaks them: another seed; other slots, another scheduler, affinity or
    /// fragment mode of a service
    #[arg(long)]
    force: bool,
    /// Drop the wishes by command (drained, weighed, added, removed …): only the file holds
    #[arg(long)]
    reset: bool,
}

/// What is compared.
#[derive(Args, Debug)]
pub(crate) struct Diff {
    /// The configuration to compare with what runs [default: the file that the controller was started with]
    file: Option<PathBuf>,
    /// As if the wishes by command were dropped
    #[arg(long)]
    reset: bool,
}

/// Where what runs is written.
#[derive(Args, Debug)]
pub(crate) struct Save {
    /// The file, which is replaced as a whole [default: it is printed]
    file: Option<PathBuf>,
}

impl Reload {
    pub(super) async fn carry_out(&self, client: &Client) -> Result<Output, Refused> {
        let changed = client.reload(self.force, self.reset).await?;
        Ok(Output { text: render::reloaded(&changed), json: json!(changed), but: None, exit: 0 })
    }
}

impl Diff {
    pub(super) async fn carry_out(&self, client: &Client) -> Result<Output, Refused> {
        let mut request = DiffRequest { reset: self.reset, ..DiffRequest::default() };
        if let Some(file) = &self.file {
            let text = fs::read_to_string(file).map_err(|error| {
                Refused::new(
                    Code::BadConfig,
                    format!("can't read the configuration {}: {error}", file.display()),
                )
            })?;
            (request.config, request.file) = (Some(text), Some(file.display().to_string()));
        }
        let found = client.diff(request).await?;
        let exit = if found.is_empty() { 0 } else { DIFFERS };
        Ok(Output { text: render::differences(&found), json: json!(found), but: None, exit })
    }
}

impl Save {
    pub(super) async fn carry_out(&self, client: &Client) -> Result<Output, Refused> {
        let text = client.config().await?;
        let Some(file) = &self.file else {
            return Ok(Output { json: json!({ "config": text }), text, but: None, exit: 0 });
        };
        refuse_to_lose_a_seed(file)?;
        replace(file, &text)
            .map_err(|error| Refused::new(Code::Failed, format!("write {}: {error}", file.display())))?;
        let said =
            format!("saved to {}, for its owner's eyes alone; the seed is not in it\n", file.display());
        Ok(Output { text: said, json: json!({ "done": true, "file": file }), but: None, exit: 0 })
    }
}

/// A file that states the seed is not replaced by one that does not: it may be the only place where that is written.
fn refuse_to_lose_a_seed(file: &Path) -> Result<(), Refused> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let states = |line: &str| {
        let rest = line.trim_start().strip_prefix("seed");
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    if !text.lines().any(states) {
        return Ok(());
    }
    let message =
        format!("{} states a seed, and what is saved never does: the seed would be lost", file.display());
    Err(Refused::new(Code::Failed, message)
        .with_remedy("save to another file, and put the line of the seed into it"))
}

/// Writes beside and renames: whoever reads it, or a crash, meets the old file or the new one.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let mut name = file.file_name().ok_or(std::io::ErrorKind::IsADirectory)?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = file.with_file_name(name);
    let write = || {
        let mut open = fs::OpenOptions::new();
        let mut opened = open.write(true).create_new(true).mode(0o600).open(&new)?;
        opened.write_all(text.as_bytes())?;
        opened.sync_all()?;
        fs::rename(&new, file)
    };
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_for_its_owner_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("vip.toml");
        fs::write(&file, "old, and longer than what replaces it").expect("write");
        replace(&file, "new").expect("replace");
        assert_eq!(fs::read_to_string(&file).expect("read"), "new");
        assert_eq!(fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1, "nothing is left beside it");
        let error = replace(&directory.path().join("no/such/place"), "new");
        assert!(error.is_err());
        assert!(replace(directory.path(), "new").is_err(), "a directory is no file");
    }

    #[test]
    fn a_file_that_states_the_seed_is_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("vip.toml");
        refuse_to_lose_a_seed(&file).expect("there is none");
        fs::write(&file, "# seed = none\nseeds = 1\n").expect("write");
        refuse_to_lose_a_seed(&file).expect("it states none");
        fs::write(&file, "interfaces = ['eth0']\n  seed=\"00112233445566778899aabbccddeeff\"\n")
            .expect("write");
        let refused = refuse_to_lose_a_seed(&file).expect_err("it would be lost");
        assert!(!refused.message.contains("0011"), "{refused}");
    }
}
