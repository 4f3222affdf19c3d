import FileFormats
import Foundation
import TestSupport
import Testing

/// Outputs never change what a file is, and never take the place of an input.
@Suite struct OutputFileTests {
  private func status(_ path: String) throws -> stat {
    var status = stat()
    try #require(lstat(path, &status) == 0)
    return status
  }

  private func content(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

  @Test func newFilesHaveTheModeOfTheMask() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("new")
    try OutputFile(path).write("text")
    let mask = umask(0)
    umask(mask)
    #expect(try status(path).st_mode & 0o7777 == 0o666 & ~mask)
    #expect(try content(path) == "text")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.url.path) == ["new"])
  }

  /// Replaced in one step: a reader of the old file keeps the old content. Mode and owner stay.
  @Test func regularFilesAreReplaced() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("file", "old")
    chmod(path, 0o640)
    let isRoot = geteuid() == 0 && chown(path, 12, 34) == 0
    let before = try status(path)
    let reader = try #require(FileHandle(forReadingAtPath: path))
    try OutputFile(path).write("new")
    let after = try status(path)
    #expect(after.st_ino != before.st_ino)
    #expect(after.st_mode == before.st_mode)
    if isRoot { #expect(after.st_uid == 12 && after.st_gid == 34) }
    #expect(try content(path) == "new")
    #expect(try reader.readToEnd() == Data("old".utf8))
  }

  @Test func filesOfSeveralNamesStayOneFile() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("file", "something old and long")
    try #require(link(path, folder.path("other")) == 0)
    try OutputFile(path).write("new")
    #expect(try status(path).st_nlink == 2)
    #expect(try content(folder.path("other")) == "new")
  }

  @Test func linksStayLinks() throws {
    let folder = try TemporaryFolder()
    let target = try folder.write("target", "old")
    let path = folder.path("link")
    try #require(symlink(target, path) == 0)
    try OutputFile(path).write("new")
    #expect(try status(path).st_mode & S_IFMT == S_IFLNK)
    #expect(try content(target) == "new")
    try FileManager.default.removeItem(atPath: target)
    #expect(throws: FileError.self) { try OutputFile(path) }
  }

  @Test func pipesAreWrittenThrough() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("pipe")
    try #require(mkfifo(path, 0o600) == 0)
    let reader = open(path, O_RDONLY | O_NONBLOCK)
    try #require(reader >= 0)
    defer { close(reader) }
    try OutputFile(path).write("new")
    #expect(try status(path).st_mode & S_IFMT == S_IFIFO)
    var bytes = [UInt8](repeating: 0, count: 10)
    #expect(read(reader, &bytes, 10) == 3)
    #expect(bytes.prefix(3) == [UInt8]("new".utf8)[...])
  }

  @Test func pipesWithoutReaderAreRefused() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("pipe")
    try #require(mkfifo(path, 0o600) == 0)
    let start = ContinuousClock.now
    #expect(throws: FileError.self) { try OutputFile(path) }
    #expect(ContinuousClock.now - start < .seconds(3))
  }

  /// A node of one's own that behaves like /dev/null; only root can make one.
  @Test func devicesStayDevices() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("null")
    guard mknod(path, S_IFCHR | 0o666, dev_t(1 << 8 | 3)) == 0 else { return }
    // Some file systems take the node but let nobody open it.
    guard let device = FileHandle(forWritingAtPath: path) else { return }
    try device.close()
    try OutputFile(path).write("new")
    #expect(try status(path).st_mode & S_IFMT == S_IFCHR)
  }

  @Test func whatCannotBeWrittenIsKnownBefore() throws {
    let folder = try TemporaryFolder()
    for path in ["", folder.url.path, folder.path("missing/file"), folder.path("file") + "/"] {
      #expect(throws: FileError.self, "\(path)") { try OutputFile(path) }
    }
    guard geteuid() != 0 else { return }
    let path = try folder.write("file", "old")
    chmod(path, 0o444)
    #expect(throws: FileError.self) { try OutputFile(path) }
    #expect(try content(path) == "old")
  }

  @Test func twoOutputsAreTwoFiles() throws {
    let folder = try TemporaryFolder()
    try InputFiles.$current.withValue(InputFiles()) {
      let first = try OutputFile(folder.path("a"))
      #expect(throws: FileError.self) { try OutputFile(folder.url.path + "/./a") }
      try OutputFile(folder.path("b")).write("b")
      try first.write("a")
    }
  }

  /// Whatever leads to the file: its path, another name, a link, a file of a noted folder.
  @Test func inputsAreRefused() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("input", "precious")
    try #require(link(path, folder.path("name")) == 0 && symlink(path, folder.path("link")) == 0)
    let inputs = InputFiles()
    InputFiles.$current.withValue(inputs) {
      #expect(throws: Never.self) { _ = try Gzip.contents(ofFile: path) }
      for name in ["input", "name", "link", "./input"] {
        #expect(throws: FileError.self, "\(name)") { try OutputFile(folder.path(name)) }
      }
      // A file that becomes an input after the output was named.
      #expect(throws: FileError.self) {
        let output = try OutputFile(folder.write("later", "precious"))
        inputs.note(path: folder.url.path)
        try output.write("new")
      }
    }
    #expect(try content(path) == "precious")
    #expect(try content(folder.path("later")) == "precious")
  }
}
