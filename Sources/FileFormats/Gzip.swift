import CZlib

/// Reading files that may be gzip-compressed (RFC 1952), recognised by their magic bytes and not by their
/// names. All members of a concatenated gzip file are read.
public enum Gzip {
  /// The largest contents that a reader accepts when nothing else is known.
  public static let defaultLimit = ReaderLimits.fileBytes

  /// The bytes of a file, inflated when the file starts with the gzip magic bytes, as they are otherwise.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - limit: The most bytes the contents may have after inflation; protects against zip bombs.
  /// - Throws: ``FileError`` when the file is missing, is not a regular file, is damaged or exceeds `limit`.
  public static func contents(ofFile path: String, limit: Int = defaultLimit) throws -> [UInt8] {
    try sizedContents(ofFile: path, limit: limit).bytes
  }

  /// The same, with the size of the file as it is on disk.
  public static func sizedContents(ofFile path: String, limit: Int) throws -> (bytes: [UInt8], stored: Int) {
    let raw = try RegularFile.contents(path, limit: limit)
    guard isCompressed(raw) else { return (raw, raw.count) }
    return (try inflate(raw, file: path, limit: limit), raw.count)
  }

  /// Whether the bytes start with gzip's magic number.
  public static func isCompressed(_ bytes: [UInt8]) -> Bool {
    bytes.count >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b
  }

  /// Inflates gzip members that lie in memory.
  ///
  /// - Parameters:
  ///   - bytes: One or more concatenated gzip members.
  ///   - file: The name that errors carry.
  ///   - limit: The most bytes the result may have.
  /// - Throws: ``FileError`` when the data is truncated, damaged or inflates to more than `limit` bytes.
  public static func inflate(_ bytes: [UInt8], file: String, limit: Int = defaultLimit) throws -> [UInt8] {
    var stream = z_stream()
    // 15 window bits, + 16: gzip framing only.
    let opened = inflateInit2_(
      &stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    guard opened == Z_OK else { throw FileError(file: file, reason: "zlib cannot be initialised") }
    defer { inflateEnd(&stream) }

    var output: [UInt8] = []
    output.reserveCapacity(min(limit, bytes.count * 4))
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    var source = bytes  // zlib asks for a mutable pointer but does not write through it
    try source.withUnsafeMutableBufferPointer { input in
      guard let base = input.baseAddress else {
        throw FileError(file: file, reason: "the gzip data is empty")
      }
      var consumed = 0
      var memberEnded = false
      while !memberEnded {
        let (status, produced) = chunk.withUnsafeMutableBufferPointer { buffer -> (Int32, Int) in
          // zlib counts in 32 bits: hand over at most 1 GiB at a time.
          let available = min(input.count - consumed, 1 << 30)
          stream.next_in = base + consumed
          stream.avail_in = uInt(available)
          stream.next_out = buffer.baseAddress
          stream.avail_out = uInt(buffer.count)
          let status = CZlib.inflate(&stream, Z_NO_FLUSH)
          consumed += available - Int(stream.avail_in)
          return (status, buffer.count - Int(stream.avail_out))
        }
        guard output.count + produced <= limit else {
          throw FileError(file: file, reason: "inflates to more than the limit of \(limit) bytes")
        }
        let total = output.count + produced
        guard total <= ReaderLimits.inflatedFloor || total / ReaderLimits.inflationRatio <= consumed else {
          throw FileError(
            file: file,
            reason:
              "inflates to more than \(ReaderLimits.inflationRatio) times its size, as no real file does")
        }
        output.append(contentsOf: chunk[0..<produced])
        switch status {
        case Z_OK: break
        case Z_STREAM_END:
          let rest = input[consumed...]
          if rest.count >= 2, rest[consumed] == 0x1f, rest[consumed + 1] == 0x8b {
            inflateReset(&stream)
          } else if rest.allSatisfy({ $0 == 0 }) {
            memberEnded = true  // zero padding after the last member is allowed
          } else {
            throw FileError(file: file, place: "byte \(consumed)", reason: "data after the gzip member")
          }
        case Z_BUF_ERROR:
          throw FileError(file: file, reason: "the gzip data is truncated")
        default:
          let detail = stream.msg.map { String(cString: $0) } ?? "zlib status \(status)"
          throw FileError(file: file, place: "byte \(consumed)", reason: "damaged gzip data (\(detail))")
        }
      }
    }
    return output
  }
}
