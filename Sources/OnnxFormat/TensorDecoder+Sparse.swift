import FileFormats

extension TensorDecoder {
  /// The dense form of a sparse tensor (ONNX stores non-default values and their ascending indices, linear or as
  /// coordinates).
  package func tensor(_ proto: Onnx_SparseTensorProto, name: String? = nil) throws(FileError) -> OnnxTensor {
    let name = name ?? proto.values.name
    let values = try tensor(proto.values, name: name)
    let indices = try tensor(proto.indices, name: name)
    var shape: [Int] = []
    for extent in proto.dims {
      guard extent >= 0 else { throw error(name, "has the negative extent \(extent)") }
      shape.append(Int(extent))
    }
    // A sparse tensor may be much larger than its data, but not without limit.
    guard let count = Self.count(shape), count <= 1 << 24 else {
      throw error(name, "is a sparse tensor of \(shape), more than the \(1 << 24) elements accepted")
    }
    guard case .integer(let numbers) = indices.values, values.shape.count == 1 else {
      throw error(name, "has sparse indices that are no integers, or values that are no vector")
    }
    let linear = try positions(numbers, indices.shape, shape, count: values.count, limit: count, name)
    var dense: OnnxTensor.Values
    switch values.values {
    case .float32(let entries): dense = .float32(scatter(entries, linear, count))
    case .float64(let entries): dense = .float64(scatter(entries, linear, count))
    case .integer(let entries): dense = .integer(scatter(entries, linear, count))
    case .unsigned(let entries): dense = .unsigned(scatter(entries, linear, count))
    case .text, .undecoded: throw error(name, "is a sparse tensor of type \(values.type)")
    }
    return OnnxTensor(name: name, type: values.type, shape: shape, values: dense)
  }

  private func positions(
    _ numbers: [Int64], _ indexShape: [Int], _ shape: [Int], count: Int, limit: Int, _ name: String
  ) throws(FileError) -> [Int] {
    var linear: [Int] = []
    if indexShape == [count] {
      linear = numbers.map { Int($0) }
    } else if indexShape == [count, shape.count] {
      for entry in 0..<count {
        var position = 0
        for (axis, extent) in shape.enumerated() {
          let coordinate = Int(numbers[entry * shape.count + axis])
          guard coordinate >= 0, coordinate < extent else {
            throw error(name, "has the sparse coordinate \(coordinate) on an axis of extent \(extent)")
          }
          position = position * extent + coordinate
        }
        linear.append(position)
      }
    } else {
      throw error(name, "has sparse indices of shape \(indexShape) for \(count) values")
    }
    if let bad = linear.first(where: { $0 < 0 || $0 >= limit }) {
      throw error(name, "has the sparse index \(bad) of \(limit) elements")
    }
    return linear
  }

  private func scatter<T: Numeric>(_ entries: [T], _ positions: [Int], _ count: Int) -> [T] {
    var result = [T](repeating: 0, count: count)
    for (entry, position) in zip(entries, positions) { result[position] = entry }
    return result
  }
}
