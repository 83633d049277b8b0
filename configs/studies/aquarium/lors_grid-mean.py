_base_ = "../../ablations/aquarium/lors.py"
