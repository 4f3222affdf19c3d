import Foundation
import Synchronization

/// A file that a command writes: the only way in which one is written.
///
/// A regular file of one name is replaced in one step, so that either the old or the whole new content is there, and keeps
/// its mode and, where permitted, its owner. A file of several names, a device, a pipe and what a symbolic link leads to are
/// written through: what they are never changes. An output that is also an input is refused. Whether the file can be
/// written is found out when the object is made, before the work.
public final class OutputFile: Sendable {
  /// The path as the user gave it.
  public let path: String
  private let way: Way
  /// What was read, on whatever thread the file is written.
  private let inputs = InputFiles.current

  /// How the content gets there.
  private enum Way {
    /// A new file, or one regular file of one name: a temporary file beside it takes its place.
    case replacement
    /// The file as it is there.
    case through
    /// A pipe, opened already: its reader may be waiting.
    case pipe(Pipe)
  }

  /// Seconds to wait for the reader of a pipe.
  private static let readerPatience = 1.0

  /// - Throws: `FileError` if the file cannot be written, or was read (`InputFiles.current`).
  public init(_ path: String) throws {
    self.path = path
    way = try Self.way(path)
    try checkIsNoInput()
    if case .replacement = way, inputs?.claim(path) == false {
      throw failure("is named for two outputs")
    }
  }

  /// Nil for no path.
  public convenience init?(_ path: String?) throws {
    guard let path else { return nil }
    try self.init(path)
  }

  /// Refuses to replace what was read since this object was made. Writing does this too; before a long computation it
  /// comes at the right time.
  ///
  /// - Throws: `FileError` if the file is one of `InputFiles.current`.
  public func checkIsNoInput() throws {
    guard let identity = FileIdentity(of: path), let input = inputs?.path(of: identity) else { return }
    throw failure(
      input == path
        ? "is an input of the same command; it will not be overwritten"
        : "is the same file as the input \(input); it will not be overwritten")
  }

  /// Writes the whole content.
  ///
  /// - Throws: `FileError`.
  public func write(_ text: String) throws { try write(Array(text.utf8)) }

  /// Writes the whole content.
  ///
  /// - Throws: `FileError`.
  public func write(_ bytes: [UInt8]) throws {
    try checkIsNoInput()
    switch way {
    case .pipe(let pipe): try writeAll(bytes, to: pipe.descriptor)
    case .through: try writeThrough(bytes)
    case .replacement:
      // What stands there may have changed since the beginning.
      guard case .replacement = try Self.way(path) else { return try writeThrough(bytes) }
      try replace(bytes)
    }
  }

  // MARK: Before the work

  private static func way(_ path: String) throws -> Way {
    func failure(_ reason: String) -> FileError {
      FileError(file: path, reason: "cannot be written: \(reason)")
    }
    guard !path.isEmpty, !path.utf8.contains(0) else { throw failure("this is no path") }
    var status = stat()
    guard lstat(path, &status) == 0 else {
      guard errno == ENOENT else { throw failure(String(cString: strerror(errno))) }
      let folder = PathName.folder(path)
      guard path.utf8.last != UInt8(ascii: "/"), access(folder, F_OK) == 0 else {
        throw failure("there is no folder \(path.utf8.last == UInt8(ascii: "/") ? path : folder)")
      }
      guard access(folder, W_OK | X_OK) == 0 else { throw failure(String(cString: strerror(errno))) }
      return .replacement
    }
    var isLink = false
    if status.st_mode & S_IFMT == S_IFLNK {
      isLink = true
      guard stat(path, &status) == 0 else { throw failure("is a link to a file that is not there") }
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG, S_IFCHR:
      guard access(path, W_OK) == 0 else { throw failure(String(cString: strerror(errno))) }
      if status.st_mode & S_IFMT == S_IFCHR || isLink || status.st_nlink > 1 { return .through }
      // Without a place for a temporary file the content goes into the file itself.
      return access(PathName.folder(path), W_OK | X_OK) == 0 ? .replacement : .through
    case S_IFIFO: return .pipe(try Pipe(path))
    case S_IFDIR: throw failure("it is a folder")
    default: throw failure("it is no regular file, character device or pipe")
    }
  }

  private final class Pipe: Sendable {
    let descriptor: Int32

    init(_ path: String) throws {
      // Without a reader `open` would wait for ever.
      let start = ContinuousClock.now
      var opened = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
      while opened < 0, errno == ENXIO || errno == EINTR,
        ContinuousClock.now - start < .seconds(OutputFile.readerPatience)
      {
        usleep(10_000)
        opened = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
      }
      guard opened >= 0 else {
        let reason = errno == ENXIO ? "nobody reads this pipe" : String(cString: strerror(errno))
        throw FileError(file: path, reason: "cannot be written: \(reason)")
      }
      // From now on a slow reader is waited for.
      _ = fcntl(opened, F_SETFL, fcntl(opened, F_GETFL) & ~O_NONBLOCK)
      descriptor = opened
    }

    deinit { close(descriptor) }
  }

  // MARK: Writing

  private func failure(_ reason: String) -> FileError {
    FileError(file: path, reason: "cannot be written: \(reason)")
  }

  private func failure(errno code: Int32) -> FileError { failure(String(cString: strerror(code))) }

  private func writeAll(_ bytes: [UInt8], to descriptor: Int32) throws {
    try bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        let written = Foundation.write(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done)
        if written > 0 {
          done += written
        } else if written == 0 || errno != EINTR {
          throw failure(errno: written == 0 ? ENOSPC : errno)
        }
      }
    }
  }

  private func writeThrough(_ bytes: [UInt8]) throws {
    let descriptor = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY)
    guard descriptor >= 0 else { throw failure(errno: errno) }
    defer { close(descriptor) }
    try writeAll(bytes, to: descriptor)
    // Devices have nothing to synchronise, and say so.
    guard fsync(descriptor) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP else {
      throw failure(errno: errno)
    }
  }

  private func replace(_ bytes: [UInt8]) throws {
    let folder = PathName.folderPrefix(path)
    let temporary = folder + ".nnverify-\(getpid())-\(UInt64.random(in: 0 ... .max)).tmp"
    // The mode of a new file is what the process's mask leaves of it.
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o666)
    guard descriptor >= 0 else { throw failure(errno: errno) }
    defer { close(descriptor) }
    var isDone = false
    defer { if !isDone { unlink(temporary) } }
    var old = stat()
    if lstat(path, &old) == 0 {
      // The owner first: changing it may clear bits of the mode. With another owner the bits that lend rights are gone.
      let isOwn = old.st_uid == geteuid() && old.st_gid == getegid()
      let keepsOwner = isOwn || fchown(descriptor, old.st_uid, old.st_gid) == 0
      guard fchmod(descriptor, old.st_mode & (keepsOwner ? 0o7777 : 0o777)) == 0 else {
        throw failure(errno: errno)
      }
    }
    try writeAll(bytes, to: descriptor)
    guard fsync(descriptor) == 0 else { throw failure(errno: errno) }
    if rename(temporary, path) != 0 {
      // A file that something is mounted on cannot be replaced.
      guard errno == EBUSY else { throw failure(errno: errno) }
      return try writeThrough(bytes)
    }
    isDone = true
    // The new name is on the disk once the folder is; not all systems can do that.
    let holder = open(PathName.folder(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if holder >= 0 {
      fsync(holder)
      close(holder)
    }
  }
}
