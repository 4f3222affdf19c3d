import FileFormats
import Foundation
import Testing

@Suite struct GzipTests {
  /// The header that `gzip -n` writes.
  let header: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]

  func gzipped(_ text: String, in folder: URL) throws -> [UInt8] {
    let file = folder.appendingPathComponent("t\(UInt64.random(in: 0...UInt64.max))")
    try Data(text.utf8).write(to: file)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["gzip", "-n", file.path]
    try process.run()
    process.waitUntilExit()
    return try [UInt8](Data(contentsOf: URL(fileURLWithPath: file.path + ".gz")))
  }

  func temporaryFolder() throws -> URL {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("gzip-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    return url
  }

  @Test func roundTripsWhatGnuGzipWrites() throws {
    let folder = try temporaryFolder()
    defer { try? FileManager.default.removeItem(at: folder) }
    let text = (0..<50_000).map { "line \($0 * 7919 % 10007)" }.joined(separator: "\n")
    let compressed = try gzipped(text, in: folder)
    #expect(Array(compressed.prefix(10)) == header)
    #expect(try Gzip.inflate(compressed, file: "t") == Array(text.utf8))
    #expect(try Gzip.inflate(compressed + compressed, file: "t").count == 2 * text.utf8.count)
  }

  @Test func readsPlainFilesAsTheyAre() throws {
    let folder = try temporaryFolder()
    defer { try? FileManager.default.removeItem(at: folder) }
    let plain = folder.appendingPathComponent("plain.vnnlib.gz")
    try Data("(assert)".utf8).write(to: plain)
    #expect(try Gzip.contents(ofFile: plain.path, limit: 100) == Array("(assert)".utf8))
    #expect(throws: FileError.self) { try Gzip.contents(ofFile: plain.path, limit: 7) }
    #expect(throws: FileError.self) { try Gzip.contents(ofFile: folder.path, limit: 100) }
    #expect(throws: FileError.self) { try Gzip.contents(ofFile: plain.path + "x", limit: 100) }
  }

  @Test func refusesDamage() throws {
    let folder = try temporaryFolder()
    defer { try? FileManager.default.removeItem(at: folder) }
    let good = try gzipped(String(repeating: "abcdefg", count: 100), in: folder)
    for length in [2, 9, 12, good.count - 9, good.count - 1] {
      #expect(throws: FileError.self) { try Gzip.inflate(Array(good.prefix(length)), file: "t") }
    }
    var flipped = good
    flipped[good.count - 6] ^= 0xff  // the checksum
    #expect(throws: FileError.self) { try Gzip.inflate(flipped, file: "t") }
    #expect(throws: FileError.self) { try Gzip.inflate(good + [1, 2, 3], file: "t") }
    #expect(throws: FileError.self) { try Gzip.inflate([], file: "t") }
  }

  @Test func stopsAtTheLimit() throws {
    let folder = try temporaryFolder()
    defer { try? FileManager.default.removeItem(at: folder) }
    let bomb = try gzipped(String(repeating: "\0", count: 5_000_000), in: folder)
    #expect(bomb.count < 10_000)
    #expect(throws: FileError.self) { try Gzip.inflate(bomb, file: "t", limit: 1_000_000) }
    // Without a limit of the caller's, the ratio gives it away.
    let large = try gzipped(String(repeating: "\0", count: 100_000_000), in: folder)
    let error = #expect(throws: FileError.self) { try Gzip.inflate(large, file: "t") }
    #expect(error?.reason.contains("times its size") == true)
  }
}
