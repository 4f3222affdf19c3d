import FileFormats
import Foundation

/// Whole text files.
public enum TextFile {
  /// Writes a file in one step: either all of it is there afterwards or nothing new.
  ///
  /// - Throws: `FileError` if it cannot be written.
  public static func write(_ text: String, to path: String) throws {
    do {
      try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch {
      throw FileError(file: path, reason: "cannot be written: \(error.localizedDescription)")
    }
  }
}
