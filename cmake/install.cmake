# `cmake --install` puts the library where find_package(aule) finds it. The wheel takes the component "python" only.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(aule_config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/aule)
install(TARGETS aule EXPORT auleTargets COMPONENT development)
install(DIRECTORY include/aule DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(EXPORT auleTargets NAMESPACE aule:: DESTINATION ${aule_config_dir} COMPONENT development)
configure_package_config_file(cmake/auleConfig.cmake.in ${PROJECT_BINARY_DIR}/auleConfig.cmake
  INSTALL_DESTINATION ${aule_config_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/auleConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/auleConfig.cmake ${PROJECT_BINARY_DIR}/auleConfigVersion.cmake
  DESTINATION ${aule_config_dir} COMPONENT development)
