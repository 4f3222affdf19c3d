import CZlib

/// Writes 8-bit RGB images in PNG format (ISO/IEC 15948).
public enum PNGWriter {
  /// The bytes of an image file.
  ///
  /// - Parameters:
  ///   - rgb: Row-major, three bytes a pixel. Precondition: `rgb.count == 3 * width * height`, both positive.
  public static func encode(width: Int, height: Int, rgb: [UInt8]) -> [UInt8] {
    precondition(width > 0 && height > 0 && rgb.count == 3 * width * height, "an image needs all its pixels")
    var raw: [UInt8] = []
    raw.reserveCapacity((3 * width + 1) * height)
    for row in 0..<height {
      raw.append(0)  // no filter
      raw += rgb[(row * 3 * width)..<((row + 1) * 3 * width)]
    }
    var length = compressBound(uLong(raw.count))
    var packed = [UInt8](repeating: 0, count: Int(length))
    // The buffer has the size that zlib asks for, so this cannot fail but for lack of memory.
    let status = compress2(&packed, &length, raw, uLong(raw.count), 9)
    precondition(status == Z_OK, "zlib ran out of memory")
    var header: [UInt8] = []
    header += bigEndian(UInt32(width)) + bigEndian(UInt32(height))
    header += [8, 2, 0, 0, 0]  // 8 bits, RGB, deflate, standard filters, not interlaced
    var file: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    file += chunk("IHDR", header)
    file += chunk("IDAT", Array(packed[0..<Int(length)]))
    file += chunk("IEND", [])
    return file
  }

  private static func bigEndian(_ value: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) }
  }

  private static func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
    let body = Array(name.utf8) + data
    let sum = crc32(0, body, uInt(body.count))
    return bigEndian(UInt32(data.count)) + body + bigEndian(UInt32(truncatingIfNeeded: sum))
  }
}
