#pragma once
#include <hdf5.h>

// Constants that HDF5 defines as macros, and calls that take enumerations or callbacks, behind
// functions that Swift can import.
static inline hid_t chdf5_native_float(void) { return H5T_NATIVE_FLOAT; }
static inline hid_t chdf5_native_double(void) { return H5T_NATIVE_DOUBLE; }
static inline hid_t chdf5_file_open_read_only(const char *path) {
  return H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
}
// HDF5 prints a stack of messages on every failure; the reader reports failures itself.
static inline void chdf5_silence(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }
static inline hid_t chdf5_object_open(hid_t location, const char *path) {
  return H5Oopen(location, path, H5P_DEFAULT);
}
static inline int chdf5_is_group(hid_t object) { return H5Iget_type(object) == H5I_GROUP; }
static inline int chdf5_is_dataset(hid_t object) { return H5Iget_type(object) == H5I_DATASET; }
static inline int chdf5_link_exists(hid_t location, const char *path) {
  return H5Lexists(location, path, H5P_DEFAULT) > 0;
}
static inline long chdf5_member_count(hid_t group) {
  H5G_info_t info;
  return H5Gget_info(group, &info) < 0 ? -1 : (long)info.nlinks;
}
static inline long chdf5_member_name(hid_t group, unsigned long index, char *name, size_t size) {
  return (long)H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, index, name, size, H5P_DEFAULT);
}
static inline int chdf5_is_string(hid_t type) { return H5Tget_class(type) == H5T_STRING; }
static inline int chdf5_is_number(hid_t type) {
  H5T_class_t c = H5Tget_class(type);
  return c == H5T_FLOAT || c == H5T_INTEGER;
}
// The type in memory for strings of variable length, with the character set of the stored type.
static inline hid_t chdf5_variable_string_type(hid_t stored) {
  hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5Tget_cset(stored));
  return type;
}
static inline int chdf5_dataset_read(hid_t dataset, hid_t type, void *buffer) {
  return H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer);
}
static inline int chdf5_is_contiguous(hid_t dataset) {
  hid_t plist = H5Dget_create_plist(dataset);
  if (plist < 0) return 0;
  int contiguous = H5Pget_layout(plist) != H5D_CHUNKED;
  H5Pclose(plist);
  return contiguous;
}
// Reclaims the strings that a read of variable-length strings allocated.
static inline void chdf5_reclaim(hid_t type, hid_t space, void *buffer) {
  H5Dvlen_reclaim(type, space, H5P_DEFAULT, buffer);
}
