import FileFormats
import Foundation

/// A copy of a store and its log in a temporary folder, removed with this object.
final class StoreCopy: Sendable {
  private let folder: URL
  /// Where the copy is.
  let path: String

  /// - Throws: `FileError` when the store cannot be read.
  init(of store: String) throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "nnverify-store-\(UUID().uuidString)")
    path = folder.appendingPathComponent("store").path
    do {
      try FileManager.default.createDirectory(
        at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      try Data(RegularFile.contents(store)).write(to: URL(fileURLWithPath: path))
      // Results that are committed but not yet moved into the store itself.
      if FileManager.default.fileExists(atPath: store + "-wal") {
        try Data(RegularFile.contents(store + "-wal")).write(to: URL(fileURLWithPath: path + "-wal"))
      }
    } catch {
      try? FileManager.default.removeItem(at: folder)
      if let error = error as? FileError { throw error }
      throw FileError(file: store, reason: "cannot be copied to read it: \(error.localizedDescription)")
    }
  }

  deinit { try? FileManager.default.removeItem(at: folder) }
}
