//! Kernels of Debian, fetched by apt and kept below cargo's target directory: an image, and the modules that the tests
//! need. Nothing is installed. It does not know what the kernels are for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    setup,
    shell::{self, say},
    toolchain::program,
};

/// Modules of the networks that the tests make; their dependencies come by themselves.
const MODULES: [&str; 5] = ["veth", "bridge", "8021q", "sch_ingress", "cls_bpf"];
/// Written last: a directory without it was not finished. It names [`MODULES`].
const COMPLETE: &str = "complete";
/// The variant of Debian's kernels that is made for virtual machines: small, quick to boot, with BTF.
const VARIANT: &str = "-cloud-amd64";
const PACKAGE: &str = "linux-image-";

/// A kernel that can be booted.
pub(super) struct Kernel {
    /// As it was asked for: `6.1`.
    pub(super) version: String,
    /// As `uname -r` says: `6.1.0-56-cloud-amd64`.
    pub(super) release: String,
    dir: PathBuf,
}

impl Kernel {
    /// The newest kernel of a version such as `6.1`: one that was fetched before, unless it is to be `fresh`.
    pub(super) fn get(version: &str, below: &Path, fresh: bool) -> Result<Self> {
        if !fresh && let Some(kernel) = Self::cached(version, below) {
            return Ok(kernel);
        }
        let mut problem = match fetch_newest(version, below) {
            Ok(kernel) => return Ok(kernel),
            Err(problem) => problem,
        };
        if setup::can_update() {
            // An archive drops a kernel when a newer one comes; lists that are too old name one that is gone.
            setup::apt_update();
            match fetch_newest(version, below) {
                Ok(kernel) => return Ok(kernel),
                Err(again) => problem = again,
            }
        }
        Err(problem)
    }

    /// The image.
    pub(super) fn image(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// Its modules, in the order in which they must be loaded.
    pub(super) fn modules(&self) -> Result<Vec<PathBuf>> {
        let dir = self.dir.join("modules");
        let entries = fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?;
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        Ok(paths)
    }

    /// Where files for it may be put.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn cached(version: &str, below: &Path) -> Option<Self> {
        let names =
            fs::read_dir(below).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        newest_first(version, names).into_iter().find_map(|release| {
            let dir = below.join(&release);
            let modules = fs::read_to_string(dir.join(COMPLETE)).ok()?;
            (modules == MODULES.join(" ")).then(|| Self { version: version.to_owned(), release, dir })
        })
    }
}

/// Releases of a version among `names`, the newest first.
fn newest_first(version: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let numbers = |release: &str| -> Vec<u64> {
        release
            .split(|other: char| !other.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect()
    };
    let is_of_version = |name: &String| {
        name.strip_prefix(version).is_some_and(|rest| rest.starts_with('.')) && name.ends_with(VARIANT)
    };
    let mut releases: Vec<String> = names.filter(is_of_version).collect();
    releases.sort_by_key(|release| std::cmp::Reverse(numbers(release)));
    releases
}

fn fetch_newest(version: &str, below: &Path) -> Result<Kernel> {
    ensure!(program("apt-get").is_some(), "this machine has no apt to fetch it with");
    let prefix = format!("{PACKAGE}{version}.");
    let listed = Command::new("apt-cache").args(["pkgnames", &prefix]).output().context("run apt-cache")?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    let names = listed.lines().filter_map(|name| name.strip_prefix(PACKAGE)).map(str::to_owned);
    let releases = newest_first(version, names);
    let release = releases.first().with_context(|| format!("apt offers no package {prefix}*{VARIANT}"))?;
    let (dir, partial) = (below.join(release), below.join(format!("partial-{release}")));
    remove(&partial)?;
    fetch(release, &partial).inspect_err(|_| drop(remove(&partial)))?;
    remove(&dir)?;
    fs::rename(&partial, &dir).with_context(|| format!("make {}", dir.display()))?;
    Ok(Kernel { version: version.to_owned(), release: release.clone(), dir })
}

/// Fetches a kernel's package, and leaves in `dir` what is needed of it.
fn fetch(release: &str, dir: &Path) -> Result<()> {
    let package = format!("{PACKAGE}{release}");
    let unpacked = dir.join("unpacked");
    fs::create_dir_all(&unpacked).with_context(|| format!("make {}", unpacked.display()))?;
    say(format!("apt-get download {package} (some 30 MB)"));
    let mut download = Command::new("apt-get");
    download.args(["--quiet", "--quiet", "--option", "APT::Sandbox::User=root", "download", &package]);
    shell::run(download.current_dir(dir).stdin(Stdio::null()))?;
    let deb = only_file(dir, ".deb")?;
    shell::run(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(&unpacked))?;
    let image = unpacked.join("boot").join(format!("vmlinuz-{release}"));
    fs::rename(&image, dir.join("vmlinuz")).with_context(|| format!("take {}", image.display()))?;
    let modules = ["usr/lib/modules", "lib/modules"].map(|path| unpacked.join(path).join(release));
    let modules = modules.iter().find(|path| path.is_dir()).context("the package has no modules")?;
    take_modules(modules, &dir.join("modules"))?;
    remove(&unpacked)?;
    fs::remove_file(&deb).with_context(|| format!("remove {}", deb.display()))?;
    fs::write(dir.join(COMPLETE), MODULES.join(" ")).context("write the mark of a whole kernel")
}

/// Copies modules and what they depend on, named by the order in which they must be loaded.
fn take_modules(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    let builtin = fs::read_to_string(from.join("modules.builtin")).context("read modules.builtin")?;
    let builtin: BTreeSet<String> = builtin.lines().map(|line| module_name(Path::new(line))).collect();
    let mut found = BTreeMap::new();
    find_modules(&from.join("kernel"), &mut found)?;
    let mut wanted: Vec<String> = MODULES.iter().rev().map(|name| (*name).to_owned()).collect();
    let mut taken = BTreeSet::new();
    // What is on top is looked at: it is taken when all that it depends on has been.
    while let Some(name) = wanted.last().cloned() {
        if taken.contains(&name) || builtin.contains(&name) {
            wanted.pop();
            continue;
        }
        let path = found.get(&name).with_context(|| format!("the package has no module {name}"))?;
        let content = read_module(path)?;
        let missing: Vec<String> = dependencies(&content)
            .into_iter()
            .filter(|module| !taken.contains(module) && !builtin.contains(module))
            .collect();
        // No kernel is built with modules that need each other.
        ensure!(wanted.len() < 100, "{name} depends on what needs it");
        if missing.is_empty() {
            let file = to.join(format!("{:02}-{name}.ko", taken.len()));
            fs::write(&file, content).with_context(|| format!("write {}", file.display()))?;
            taken.insert(name);
        }
        wanted.extend(missing);
    }
    Ok(())
}

/// Every module below a directory, by its name.
fn find_modules(dir: &Path, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            find_modules(&path, found)?;
        } else {
            found.insert(module_name(&path), path);
        }
    }
    Ok(())
}

/// As the kernel names a module: `kernel/net/sch-ingress.ko.xz` is `sch_ingress`.
fn module_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split(".ko").next().unwrap_or_default().replace('-', "_")
}

fn read_module(path: &Path) -> Result<Vec<u8>> {
    let unpacker = match path.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => return fs::read(path).with_context(|| format!("read {}", path.display())),
        Some("xz") => "unxz",
        _ => bail!("{} is packed in an unknown way", path.display()),
    };
    let output = Command::new("busybox").args([unpacker, "-c"]).arg(path).output().context("run busybox")?;
    ensure!(output.status.success(), "unpack {}: {}", path.display(), output.status);
    Ok(output.stdout)
}

/// The modules that a module needs: its section `.modinfo` has a string `depends=bridge,stp` (modinfo(8)).
fn dependencies(module: &[u8]) -> Vec<String> {
    const FIELD: &[u8] = b"\0depends=";
    let Some(at) = module.windows(FIELD.len()).position(|window| window == FIELD) else {
        return Vec::new();
    };
    let list = module[at + FIELD.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(list);
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

fn only_file(dir: &Path, ending: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    let found = paths.find(|path| path.to_string_lossy().ends_with(ending));
    found.with_context(|| format!("apt-get left no {ending} in {}", dir.display()))
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_that_of_the_highest_numbers() {
        let names = [
            "6.1.0-9-cloud-amd64",
            "6.1.0-56-cloud-amd64",
            "6.1.0-56-cloud-amd64-unsigned",
            "6.12.117+deb12-cloud-amd64",
            "6.1.0-60-amd64",
            "partial-6.1.0-70-cloud-amd64",
        ];
        let newest = |version| newest_first(version, names.iter().map(|name| (*name).to_owned()));
        assert_eq!(newest("6.1"), ["6.1.0-56-cloud-amd64", "6.1.0-9-cloud-amd64"]);
        assert_eq!(newest("6.12"), ["6.12.117+deb12-cloud-amd64"]);
        assert!(newest("6").len() == 3 && newest("5.10").is_empty());
    }

    #[test]
    fn what_a_module_depends_on_is_read_from_it() {
        assert_eq!(
            dependencies(b"\x7fELF\0license=GPL\0depends=llc,net-stp\0retpoline=Y\0"),
            ["llc", "net_stp"]
        );
        assert!(dependencies(b"\0license=GPL\0depends=\0").is_empty() && dependencies(b"").is_empty());
        assert_eq!(module_name(Path::new("kernel/net/sched/sch-ingress.ko.xz")), "sch_ingress");
    }
}
