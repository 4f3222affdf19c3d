import Foundation
import Synchronization

/// Which file a path leads to, whatever it is called: its device and its number there.
public struct FileIdentity: Sendable, Hashable {
  public var device: UInt64
  public var number: UInt64

  init(_ status: stat) {
    device = UInt64(status.st_dev)
    number = UInt64(status.st_ino)
  }

  /// The file that a path leads to through all links; nil if there is none.
  public init?(of path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    self.init(status)
  }
}

/// The files that were read so far, so that no output takes the place of one.
///
/// Every reader notes what it opens in ``current``, which a command binds; computations that share files with nobody
/// need none.
public final class InputFiles: Sendable {
  private let files = Mutex<[FileIdentity: String]>([:])
  /// Outputs that were named: existing files by what they are, others by folder and name.
  private let outputs = Mutex<Set<String>>([])

  @TaskLocal public static var current: InputFiles?

  public init() {}

  /// Notes an open file.
  public func note(descriptor: Int32, path: String) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return }
    note(FileIdentity(status), path)
  }

  /// Notes a file, or all files of a folder (those below it too, three levels down).
  public func note(path: String) { note(path: path, depth: 3) }

  private func note(path: String, depth: Int) {
    var status = stat()
    guard stat(path, &status) == 0 else { return }
    if status.st_mode & S_IFMT != S_IFDIR {
      note(FileIdentity(status), path)
    } else if depth > 0, let names = try? FileManager.default.contentsOfDirectory(atPath: path) {
      for name in names { note(path: path + "/" + name, depth: depth - 1) }
    }
  }

  private func note(_ identity: FileIdentity, _ path: String) {
    files.withLock { known in if known[identity] == nil { known[identity] = path } }
  }

  /// Takes a regular file for an output; false if it is another output's already.
  func claim(_ path: String) -> Bool {
    let place: String
    if let file = FileIdentity(of: path) {
      place = "\(file.device) \(file.number)"
    } else if let folder = FileIdentity(of: PathName.folder(path)) {
      place = "\(folder.device) \(folder.number) \(PathName.last(path))"
    } else {
      return true
    }
    return outputs.withLock { $0.insert(place).inserted }
  }

  /// The path under which a file was read; nil if it was not.
  func path(of identity: FileIdentity) -> String? { files.withLock { $0[identity] } }
}
