//! Pinned objects and links by their descriptors.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use super::call;

/// Commands of include/uapi/linux/bpf.h.
const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const LINK_UPDATE: libc::c_int = 29;

/// The part for BPF_OBJ_PIN and BPF_OBJ_GET.
#[repr(C)]
#[derive(Default)]
struct ObjectAttr {
    pathname: u64,
    fd: u32,
    file_flags: u32,
}

/// The part for BPF_OBJ_GET_INFO_BY_FD.
#[repr(C)]
#[derive(Default)]
struct InfoAttr {
    fd: u32,
    len: u32,
    info: u64,
}

/// The part for BPF_LINK_UPDATE.
#[repr(C)]
#[derive(Default)]
struct UpdateAttr {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

/// The beginning of `struct bpf_link_info`, as far as an XDP link fills it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::datapath) struct LinkInfo {
    kind: u32,
    id: u32,
    /// The program that it runs.
    pub(in crate::datapath) program: u32,
    reserved: u32,
    /// The interface; 0 if that is gone.
    pub(in crate::datapath) interface: u32,
    tail: [u32; 27],
}

/// Opens what is pinned at a path.
pub(in crate::datapath) fn object_get(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = ObjectAttr { pathname: path.as_ptr() as u64, ..ObjectAttr::default() };
    // SAFETY: a string that ends with a zero byte and lives through the call.
    let fd = unsafe { call(OBJ_GET, &mut attr)? };
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pins a map, program or link at a path in a bpffs.
pub(in crate::datapath) fn object_pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let fd = object.as_raw_fd() as u32;
    let mut attr = ObjectAttr { pathname: path.as_ptr() as u64, fd, ..ObjectAttr::default() };
    // SAFETY: a string that ends with a zero byte and lives through the call.
    unsafe { call(OBJ_PIN, &mut attr) }.map(|_| ())
}

/// What a link runs, and where.
pub(in crate::datapath) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let mut attr = InfoAttr {
        fd: link.as_raw_fd() as u32,
        len: size_of::<LinkInfo>() as u32,
        info: std::ptr::from_mut(&mut info) as u64,
    };
    // SAFETY: `len` bytes of integers can be written at `info`.
    unsafe { call(OBJ_GET_INFO_BY_FD, &mut attr)? };
    Ok(info)
}

/// Has a link run another program, atomically. The same one again is no change, and an error if
/// the link's interface is gone (ENOLINK).
pub(in crate::datapath) fn update_link(
    link: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> io::Result<()> {
    let (link_fd, new_prog_fd) = (link.as_raw_fd() as u32, program.as_raw_fd() as u32);
    let mut attr = UpdateAttr { link_fd, new_prog_fd, ..UpdateAttr::default() };
    // SAFETY: no memory is passed but the attribute.
    unsafe { call(LINK_UPDATE, &mut attr) }.map(|_| ())
}
