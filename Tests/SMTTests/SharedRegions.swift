import FileFormats
import Foundation
import Rigor
import SMT
import TestSupport
import Testing

/// The reference records, where they are present.
enum SharedRegions {
  static let absent = Comment(rawValue: SharedData.comment)

  static var folder: String? {
    let path = SharedData.path("smt")
    return FileManager.default.fileExists(atPath: path) ? path : nil
  }

  static func records(_ file: String) throws -> [RegionRecord] {
    try RegionRecord.read(#require(folder) + "/" + file)
  }

  /// A folder that is removed afterwards.
  static func withTemporaryFolder(_ body: (String) throws -> Void) throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: url) }
    try body(url.path)
  }

  static func rationals(_ value: JSONValue?) -> [Rational]? {
    value?.arrayValue?.compactMap {
      $0.stringValue.flatMap { Rational($0) } ?? $0.numberText.flatMap { Rational($0) }
    }
  }
}
