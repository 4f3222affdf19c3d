// swift-tools-version: 6.0
import PackageDescription

let package = Package(
  name: "examples",
  dependencies: [.package(name: "nnverify", path: "..")],
  targets: [
    .executableTarget(
      name: "bound-and-explain",
      dependencies: [
        .product(name: "Bounds", package: "nnverify"),
        .product(name: "Inputs", package: "nnverify"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
