_base_ = "../../ablations/aquarium/adamixer.py"
