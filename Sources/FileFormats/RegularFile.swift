import Foundation

/// Reading regular files, and nothing else: a FIFO, a device or a folder in place of a file is refused at once.
public enum RegularFile {
  /// The bytes of a file as they are on disk.
  ///
  /// - Parameter limit: The most bytes the file may have.
  /// - Throws: ``FileError`` when the file is missing, is not a regular file, is larger than `limit` or shrinks meanwhile.
  public static func contents(_ path: String, limit: Int = ReaderLimits.fileBytes) throws(FileError)
    -> [UInt8]
  {
    try open(path) { descriptor, size throws(FileError) in
      guard size <= limit else {
        throw FileError(file: path, reason: "has \(size) bytes, more than the limit of \(limit)")
      }
      return try read(descriptor, offset: 0, count: size, path: path)
    }
  }

  /// A part of a file.
  ///
  /// - Throws: ``FileError`` as ``contents(_:limit:)`` does, and where the file ends before the part does.
  public static func part(_ path: String, offset: Int, count: Int) throws(FileError) -> [UInt8] {
    try open(path) { descriptor, size throws(FileError) in
      guard offset >= 0, count >= 0, offset <= size, count <= size - offset else {
        throw FileError(
          file: path, reason: "\(count) bytes at offset \(offset) are needed, it has only \(size) bytes")
      }
      return try read(descriptor, offset: offset, count: count, path: path)
    }
  }

  /// Throws unless a path names a regular file that can be read.
  public static func check(_ path: String) throws(FileError) { try open(path) { _, _ in } }

  /// The bytes that a regular file has.
  ///
  /// - Throws: ``FileError`` as ``check(_:)`` does.
  public static func size(_ path: String) throws(FileError) -> Int { try open(path) { _, size in size } }

  /// Opens a file without waiting for whoever is at the other end of a FIFO, and looks at what was opened.
  private static func open<Result>(
    _ path: String, _ body: (_ descriptor: Int32, _ size: Int) throws(FileError) -> Result
  ) throws(FileError) -> Result {
    // Looked at before it is opened: opening some devices has effects of its own.
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw FileError(file: path, reason: "cannot be opened: \(String(cString: strerror(errno)))")
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw FileError(file: path, reason: "is not a regular file")
    }
    let descriptor = Foundation.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw FileError(file: path, reason: "cannot be opened: \(String(cString: strerror(errno)))")
    }
    defer { close(descriptor) }
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw FileError(file: path, reason: "is not a regular file")
    }
    InputFiles.current?.note(descriptor: descriptor, path: path)
    return try body(descriptor, Int(status.st_size))
  }

  private static func read(
    _ descriptor: Int32, offset: Int, count size: Int, path: String
  ) throws(FileError) -> [UInt8] {
    var failure: String?
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
      while count < size {
        // count < size: the buffer is not empty.
        let got = pread(descriptor, buffer.baseAddress! + count, size - count, off_t(offset + count))
        if got < 0 && errno == EINTR { continue }
        if got <= 0 {
          if got < 0 { failure = String(cString: strerror(errno)) }
          break
        }
        count += got
      }
    }
    if let failure { throw FileError(file: path, reason: "cannot be read: \(failure)") }
    guard bytes.count == size else { throw FileError(file: path, reason: "shrank while it was read") }
    return bytes
  }
}
