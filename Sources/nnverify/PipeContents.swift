import Foundation

/// What comes out of a pipe until it is closed, read on a thread of its own. Beyond a limit bytes are read and dropped.
final class PipeContents: @unchecked Sendable {
  // Written by the reading thread alone, and read after `wait`.
  private(set) var bytes: [UInt8] = []
  private let group = DispatchGroup()

  init(_ pipe: FileHandle, limit: Int) {
    DispatchQueue.global().async(group: group) { [self] in
      while let part = try? pipe.read(upToCount: 1 << 16), !part.isEmpty {
        bytes.append(contentsOf: part.prefix(max(0, limit - bytes.count)))
      }
    }
  }

  /// Returns when the pipe was closed.
  func wait() { group.wait() }
}
