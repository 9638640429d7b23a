//! The one place of an instance's controller: its lock and its socket. It decides who is the controller, and
//! knows nothing of what is said.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Seek, Write},
    os::{
        fd::OwnedFd,
        unix,
        unix::{
            fs::{FileTypeExt, OpenOptionsExt, PermissionsExt},
            net,
        },
    },
    path::{Path, PathBuf},
};

use nix::unistd::Group;
use rustix::{
    fs::{FlockOperation, Mode, fchmod, flock},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
    process::{getegid, geteuid},
};
use tokio::net::UnixListener;

use super::{Code, Refused, protocol::Rules};
use crate::{
    model::{Access, Others},
    places::Places,
};

/// Owner and group may use the socket.
const SOCKET_MODE: u32 = 0o660;
/// All may connect; what they may ask, [`Rules`] say.
const OPEN_MODE: u32 = 0o666;
/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 128;

/// The place of a controller. Who holds it is the instance's only controller; dropped, it removes the socket.
#[derive(Debug)]
pub struct Bound {
    socket: PathBuf,
    /// Locked as long as it is open. The file stays: removing it would let two controllers lock two files.
    _lock: File,
}

impl Bound {
    /// Gives the socket the group and the mode that are wanted, and says what follows for those who ask.
    ///
    /// # Errors
    /// There is no such group ([`Code::BadConfig`]), or the socket can't be given to it.
    pub fn permit(&self, access: &Access) -> Result<Rules, Refused> {
        let (group, group_name) = group(access)?;
        let mode = if access.others == Others::Read { OPEN_MODE } else { SOCKET_MODE };
        let path = &self.socket;
        // Others out first, and in last.
        fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))
            .and_then(|()| unix::fs::chown(path, None, Some(group)))
            .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
            .map_err(|error| failed("set group and mode of", path, &error))?;
        Ok(Rules { owner: geteuid().as_raw(), group, group_name, others: access.others })
    }
}

/// Id and name of the group that may do all.
///
/// # Errors
/// There is no such group.
pub fn group(access: &Access) -> Result<(u32, String), Refused> {
    let Some(name) = &access.group else {
        let own = getegid().as_raw();
        let known = Group::from_gid(own.into()).ok().flatten();
        return Ok((own, known.map_or_else(|| own.to_string(), |group| group.name)));
    };
    match Group::from_name(name) {
        Ok(Some(group)) => Ok((group.gid.as_raw(), group.name)),
        found => {
            let why = found.err().map_or_else(String::new, |error| format!(": {error}"));
            let message = format!("control.group: there is no group {name:?}{why}");
            Err(Refused::new(Code::BadConfig, message)
                .with_remedy(format!("make it with `groupadd --system {name}`, or name another one")))
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Another controller can't have taken it over: the lock is still held.
        let _ = fs::remove_file(&self.socket);
    }
}

/// Takes the place of the instance's controller, and listens on `socket` (usually [`Places::socket`]); a socket
/// that nobody listens on is taken over. Belongs into a tokio runtime.
///
/// # Errors
/// Another controller has the place ([`Code::ControllerRuns`], with its process id), another process listens on
/// the socket, the path is no socket's, or a file can't be written.
pub fn bind(places: &Places, socket: &Path) -> Result<(UnixListener, Bound), Refused> {
    for directory in [Some(places.run.as_path()), socket.parent()].into_iter().flatten() {
        fs::create_dir_all(directory).map_err(|error| failed("create", directory, &error))?;
    }
    let lock = lock(places)?;
    take_over(socket)?;
    let listener = listen(socket).map_err(|error| failed("listen on", socket, &error))?;
    let bound = Bound { socket: socket.to_owned(), _lock: lock };
    let listener = UnixListener::from_std(listener).map_err(|error| failed("listen on", socket, &error))?;
    Ok((listener, bound))
}

/// Keeps the instance's controllers from starting, as long as it lives.
#[derive(Debug)]
pub struct HeldOff {
    /// `None` where no controller has ever run: there is no lock file, and none is made.
    _lock: Option<File>,
}

/// Makes sure that no controller of the instance runs, nor starts before the result is dropped. Wanted by whoever
/// changes what is pinned without a controller.
///
/// # Errors
/// One runs ([`Code::ControllerRuns`]), or the lock file can't be used.
pub fn hold_off(places: &Places) -> Result<HeldOff, Refused> {
    let path = places.lock();
    match File::open(&path) {
        Ok(mut file) => take(&mut file, places).map(|()| HeldOff { _lock: Some(file) }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HeldOff { _lock: None }),
        Err(error) => Err(failed("open", &path, &error)),
    }
}

/// Locks the instance's lock file and writes the own process id into it.
fn lock(places: &Places) -> Result<File, Refused> {
    let path = places.lock();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o644);
    let mut file = options.open(&path).map_err(|error| failed("open", &path, &error))?;
    take(&mut file, places)?;
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(|error| failed("write", &path, &error))?;
    Ok(file)
}

/// Locks an open lock file, or says who has locked it.
fn take(file: &mut File, places: &Places) -> Result<(), Refused> {
    match flock(&*file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let known = file.read_to_string(&mut pid).is_ok_and(|_| pid.trim().parse::<u32>().is_ok());
            let who = if known { format!("process {}", pid.trim()) } else { "a process".to_owned() };
            let message = format!("{who} is the controller of instance {} already", places.instance);
            Err(Refused::new(Code::ControllerRuns, message)
                .with_remedy("stop it, name its --socket, or choose another --instance"))
        }
        Err(error) => Err(failed("lock", &places.lock(), &error.into())),
    }
}

/// Removes a socket that nobody listens on.
fn take_over(socket: &Path) -> Result<(), Refused> {
    let kind = match fs::symlink_metadata(socket) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", socket, &error)),
    };
    if !kind.is_socket() {
        let message = format!("{} exists and is no socket: it is left alone", socket.display());
        return Err(Refused::new(Code::Failed, message));
    }
    match net::UnixStream::connect(socket) {
        Ok(_) => Err(Refused::new(
            Code::ControllerRuns,
            format!("another process listens on {}", socket.display()),
        )),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(socket).map_err(|error| failed("remove", socket, &error))
        }
        Err(error) => Err(failed("connect to", socket, &error)),
    }
}

/// Listens with the right mode from the first moment on: the kernel makes the socket's file with the mode of the
/// unbound socket, less the umask, so nobody gets in between `bind` and `chmod`.
fn listen(path: &Path) -> io::Result<net::UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    fchmod(&socket, Mode::from_raw_mode(SOCKET_MODE))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Refused {
    let message = format!("{doing} {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Refused::new(Code::NotAllowed, message).with_remedy("run it as root")
        }
        _ => Refused::new(Code::Failed, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(directory: &Path) -> Places {
        Places { run: directory.join("run"), ..Places::default() }
    }

    #[tokio::test]
    async fn a_second_controller_is_told_the_process_of_the_first() {
        let directory = tempfile::tempdir().expect("a directory");
        let places = places(directory.path());
        let first = bind(&places, &places.socket()).expect("the first controller's place");
        let refused = bind(&places, &places.socket()).expect_err("a second controller");
        assert_eq!(refused.code, Code::ControllerRuns);
        let own = format!("process {} is the controller of instance default already", std::process::id());
        assert_eq!(refused.message, own);
        drop(first);
        assert!(!places.socket().exists(), "the socket goes with its controller");
        bind(&places, &places.socket()).expect("the place is free again");
    }

    #[tokio::test]
    async fn controllers_are_held_off_only_where_none_runs() {
        let directory = tempfile::tempdir().expect("a directory");
        let places = places(directory.path());
        hold_off(&places).expect("none has ever run");
        assert!(!places.run.exists(), "nothing is made");
        let controller = bind(&places, &places.socket()).expect("a controller's place");
        assert_eq!(hold_off(&places).expect_err("one runs").code, Code::ControllerRuns);
        drop(controller);
        let held_off = hold_off(&places).expect("none runs any more");
        assert_eq!(bind(&places, &places.socket()).expect_err("held off").code, Code::ControllerRuns);
        drop(held_off);
        bind(&places, &places.socket()).expect("a controller's place");
    }

    #[tokio::test]
    async fn instances_do_not_hinder_each_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let one = places(directory.path());
        let other = Places { instance: "other".parse().expect("a name"), ..one.clone() };
        let _one = bind(&one, &one.socket()).expect("the first instance's place");
        let _other = bind(&other, &other.socket()).expect("the other instance's place");
    }

    #[tokio::test]
    async fn a_stale_socket_is_taken_over() {
        let directory = tempfile::tempdir().expect("a directory");
        let places = places(directory.path());
        fs::create_dir_all(&places.run).expect("create the directory");
        drop(net::UnixListener::bind(places.socket()).expect("a socket that nobody listens on"));
        assert!(places.socket().exists());
        let (_listener, _bound) = bind(&places, &places.socket()).expect("the place");
        net::UnixStream::connect(places.socket()).expect("somebody listens now");
        let mode = fs::metadata(places.socket()).expect("the socket").permissions().mode();
        assert_eq!(mode & 0o777, SOCKET_MODE);
    }

    #[tokio::test]
    async fn a_socket_of_somebody_else_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let places = places(directory.path());
        fs::create_dir_all(&places.run).expect("create the directory");
        let _theirs = net::UnixListener::bind(places.socket()).expect("their socket");
        let refused = bind(&places, &places.socket()).expect_err("their socket is in use");
        assert_eq!(refused.code, Code::ControllerRuns);
        net::UnixStream::connect(places.socket()).expect("it still works");
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let places = places(directory.path());
        let path = directory.path().join("precious");
        fs::write(&path, "data").expect("write a file");
        let refused = bind(&places, &path).expect_err("it is no socket");
        assert!(refused.message.ends_with("is no socket: it is left alone"), "{refused}");
        assert_eq!(fs::read_to_string(&path).expect("the file"), "data");
    }
}
